//! `cargo xtask rolling`: a relay of an older version, built out of the repository's history, and this one, side by side on one PostgreSQL.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::step::{output, run, step};
use crate::workspace;

/// The last version without the table `relays`: the oldest one from which a rolling deploy is promised (docs/records.md).
pub(crate) const OLDEST: &str = "2d55ab9";
/// Where the migrations are that relays on one PostgreSQL share.
const MIGRATIONS: &str = "relay/migrations/postgres";
/// By how many commits it is gone back for a version that builds.
const BACK: [u32; 6] = [0, 1, 2, 4, 8, 16];
/// What to do when a test fails.
pub(crate) const ADVICE: &str = "it is said above which promise does not hold";

/// Builds the relay of this commit, and has `tests/tests/rolling.rs` try it beside the one of this working copy.
pub(crate) fn run_beside(commit: &str) -> Result<()> {
    run(&mut tests_beside(commit)?, ADVICE)
}

/// The last version whose schema was an older one than that of this commit, and which this one can bring up to date: a migration that no release
/// has may have been changed on the way, and databases of such versions are nobody's. After it come versions before it, ever further back, for
/// where it does not build: not everything in between two merges does. Empty where the history does not reach so far back.
pub(crate) fn before_newest_migration() -> Vec<String> {
    let Some(ours) = migrations_of("HEAD") else { return Vec::new() };
    let mut log = Command::new("git");
    log.current_dir(workspace::root()).args(["log", "--first-parent", "-m", "--format=%H", "--", MIGRATIONS]);
    let Ok(changes) = output(&mut log, "") else { return Vec::new() };
    let is_older = |version: &String| {
        migrations_of(version)
            .is_some_and(|theirs| !theirs.is_empty() && theirs.len() < ours.len() && theirs.is_subset(&ours))
    };
    let mut versions = changes.lines().map(|hash| format!("{}^", hash.trim()));
    let Some(before) = versions.find(is_older) else { return Vec::new() };
    let further = BACK.iter().map(|back| format!("{before}~{back}")).filter(is_older);
    further.filter_map(|version| short(&version)).collect()
}

/// The short name of a commit.
fn short(commit: &str) -> Option<String> {
    let mut parse = Command::new("git");
    parse.current_dir(workspace::root()).args(["rev-parse", "--verify", "--quiet", "--short", commit]);
    Some(output(&mut parse, "").ok()?.trim().to_owned())
}

/// The first of these versions that builds here.
pub(crate) fn first_that_builds(commits: &[String]) -> Result<&str> {
    let builds = |commit: &&String| match step(format!("building the relay of {commit}"), || build(commit)) {
        Ok(_) => true,
        Err(error) => {
            println!("{commit} does not build here ({error:#}): an older one is tried");
            false
        }
    };
    match commits.iter().find(builds) {
        Some(commit) => Ok(commit),
        None => bail!("none of {} builds here", commits.join(", ")),
    }
}

/// The migrations of a commit, each with its name and the checksum of what is in it.
fn migrations_of(commit: &str) -> Option<BTreeSet<String>> {
    let mut list = Command::new("git");
    list.current_dir(workspace::root()).args(["ls-tree", "-r", commit, "--", MIGRATIONS]);
    Some(output(&mut list, "").ok()?.lines().map(str::to_owned).collect())
}

/// What tries the relay of this commit, which is built, beside that of this working copy.
pub(crate) fn tests_beside(commit: &str) -> Result<Command> {
    let older = step(format!("building the relay of {commit}"), || build(commit))?;
    step("building the relay of this working copy", || {
        run(workspace::cargo().args(["build", "--package", "relay"]), "the message above says what is wrong")
    })?;
    let mut tests = workspace::cargo();
    tests.args(["test", "--package", "tests", "--test", "rolling", "--", "--ignored"]);
    tests.env("E2E_OLDER_RELAY", older);
    Ok(tests)
}

/// The program of this commit, built in a folder and a target directory of its own.
fn build(commit: &str) -> Result<PathBuf> {
    let advice = "it takes the history of the repository: a clone that is not shallow, and a commit of it";
    let hash = ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{commit}^{{commit}}")];
    let hash = output(Command::new("git").current_dir(workspace::root()).args(hash), advice)?;
    let cache = workspace::cache().join("rolling");
    let (source, archive) = (cache.join(hash.trim()), cache.join("source.tar"));
    if !source.exists() {
        fs::create_dir_all(&cache)?;
        let mut pack = Command::new("git");
        pack.current_dir(workspace::root()).args(["archive", "--format=tar", "--output"]).arg(&archive);
        run(pack.arg(hash.trim()), advice)?;
        let unpacked = cache.join("unpacked");
        fs::remove_dir_all(&unpacked).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        fs::create_dir_all(&unpacked)?;
        run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&unpacked), "install tar")?;
        fs::rename(&unpacked, &source)?;
    }
    let target = cache.join("target");
    let mut build = workspace::cargo();
    build.current_dir(&source).env("CARGO_TARGET_DIR", &target);
    run(
        build.args(["build", "--package", "relay", "--bin", "voxrelay"]),
        "that version does not build here",
    )?;
    let program = target.join("debug").join(format!("voxrelay{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        bail!("{} was not built", program.display());
    }
    Ok(program)
}
