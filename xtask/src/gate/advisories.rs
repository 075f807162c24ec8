//! Known vulnerabilities: RustSec's database for crates, the registry's audit for npm. Either may be out of reach;
//! then the step says so instead of calling it passed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use semver::{Version, VersionReq};
use serde::Deserialize;
use serde_json::Value;

use super::dependencies::Package;
use super::outcome::Outcome;
use crate::workspace;

const DATABASE: &str = "https://github.com/RustSec/advisory-db";
/// Vulnerabilities that do not reach us, each with the reason.
const ACCEPTED: [(&str, &str); 1] = [(
    "RUSTSEC-2023-0071",
    "`rsa` leaks timing when a private key is used; the relay only verifies signatures, with public keys",
)];

const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Deserialize)]
struct Advisory {
    advisory: Head,
    #[serde(default)]
    versions: Versions,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    /// `unmaintained`, `unsound` or `notice`: worth knowing, no vulnerability.
    informational: Option<String>,
    withdrawn: Option<String>,
}

#[derive(Default, Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

/// Looks every crate up in RustSec's database.
pub(super) fn rust(mut outcome: Outcome, packages: &[Package]) -> Result<Outcome> {
    let folder = workspace::cache().join("advisory-db");
    if !is_fetched(&folder)? {
        return Ok(outcome.not_checked("RustSec advisories: NOT CHECKED, github.com cannot be reached"));
    }
    let mut informed = Vec::new();
    for package in packages {
        for advisory in read(&folder.join("crates").join(&package.name))? {
            if advisory.advisory.withdrawn.is_some() || !advisory.versions.affect(&package.version) {
                continue;
            }
            let Head { id, informational, .. } = advisory.advisory;
            let found = format!("{} {}: {id}", package.name, package.version);
            let accepted =
                ACCEPTED.iter().find(|(accepted, _)| *accepted == id).map(|(_, reason)| (*reason).to_owned());
            match informational.or(accepted) {
                Some(why) => informed.push(format!("{found} ({why})")),
                None => {
                    outcome.failed += 1;
                    outcome.notes.push(found);
                }
            }
        }
    }
    let informed =
        if informed.is_empty() { String::new() } else { format!("; to know: {}", informed.join(", ")) };
    Ok(outcome.note(format!("RustSec advisories: checked{informed}")))
}

/// Asks npm's registry.
pub(super) fn npm(mut outcome: Outcome) -> Result<Outcome> {
    let output = workspace::npm().args(["audit", "--json"]).stderr(Stdio::null()).output()?;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let counts = &report["metadata"]["vulnerabilities"];
    let (Some(high), Some(critical), Some(total)) =
        (counts["high"].as_u64(), counts["critical"].as_u64(), counts["total"].as_u64())
    else {
        return Ok(outcome.not_checked("npm audit: NOT CHECKED, the registry does not answer"));
    };
    outcome.failed += high + critical;
    Ok(outcome.note(format!("npm audit: {total} known, {} of them high or critical", high + critical)))
}

/// Clones or refreshes the database. `false` if it cannot be had now.
fn is_fetched(folder: &Path) -> Result<bool> {
    let mut git = Command::new("git");
    if folder.join(".git").exists() {
        git.arg("-C").arg(folder).args(["pull", "--quiet", "--ff-only"]);
    } else {
        git.args(["clone", "--quiet", "--depth", "1", DATABASE]).arg(folder);
    }
    git.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = git.spawn() else { return Ok(false) };
    let begin = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(status.success()),
            None if begin.elapsed() > PATIENCE => {
                child.kill()?;
                child.wait()?;
                return Ok(false);
            }
            None => sleep(Duration::from_millis(100)),
        }
    }
}

/// The advisories about one crate: Markdown files that begin with a block of TOML.
fn read(folder: &Path) -> Result<Vec<Advisory>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut advisories = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path)?;
            advisories.push(parse(&text).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(advisories)
}

fn parse(text: &str) -> Result<Advisory> {
    let block = text
        .strip_prefix("```toml")
        .and_then(|rest| rest.split_once("\n```"))
        .context("no TOML at its top")?;
    Ok(toml::from_str(block.0)?)
}

impl Versions {
    fn affect(&self, version: &Version) -> bool {
        let safe = self.patched.iter().chain(&self.unaffected);
        !safe.filter_map(|range| VersionReq::parse(range).ok()).any(|range| range.matches(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_affected_unless_it_is_patched_or_older_than_the_fault() {
        let advisory = parse(
            "```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = \"x\"\n\n[versions]\npatched = [\">= 1.2.3\", \"^1.1.9\"]\nunaffected = [\"< 1.0.0\"]\n```\n\n# Fault\n",
        )
        .expect("a database entry");
        let affected = |version: &str| advisory.versions.affect(&version.parse().expect("a version"));
        assert_eq!(advisory.advisory.id, "RUSTSEC-2020-0001");
        assert!(affected("1.0.0") && affected("1.1.8"));
        assert!(!affected("0.9.9") && !affected("1.1.9") && !affected("1.2.3") && !affected("2.0.0"));
    }
}
