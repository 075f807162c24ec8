//! Steps that find faults without running a test.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::outcome::Outcome;
use super::snippets;
use super::tools::is_there;
use crate::step::{output, run};
use crate::workspace::{self, WASM};
use crate::{build as sdk_build, codegen as generated};

/// What checks rules of alerts; it comes with Prometheus.
const PROMTOOL: &str = "promtool";

pub(super) fn format() -> Result<Outcome> {
    run(workspace::cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt --all`")?;
    Ok(Outcome::ok())
}

pub(super) fn codegen() -> Result<Outcome> {
    generated::run(true)?;
    Ok(Outcome::ok())
}

pub(super) fn sdk() -> Result<Outcome> {
    sdk_build::sdk()?;
    Ok(Outcome::ok())
}

pub(super) fn size() -> Result<Outcome> {
    let (verdicts, over) = crate::size::check()?;
    let outcome = Outcome { failed: over as u64, ..Outcome::ok() };
    Ok(verdicts.into_iter().fold(outcome, Outcome::note))
}

/// What peers' packages are, beside this one. It fails where that is not known, which `cargo xtask size` only says.
pub(super) fn peers() -> Result<Outcome> {
    Ok(crate::size::beside_peers()?.into_iter().fold(Outcome::ok(), Outcome::note))
}

/// Whoever writes a script tag has its `integrity` from what the build prints, or from the relay: both have to say the same of the same files.
pub(super) fn hashes() -> Result<Outcome> {
    let mut relay = Command::new(workspace::program("voxrelay"));
    let printed = output(relay.arg("sdk"), "see relay/src/cli/sdk.rs")?;
    let (built, served) = (sdk_build::hashes(&workspace::path("npm/dist"))?, served(&printed));
    ensure!(built == served, "the build prints other hashes than `voxrelay sdk`:\n{built:#?}\n{served:#?}");
    Ok(Outcome::ok().note(format!("{} files, each with the same hash", served.len())))
}

/// The files and their hashes in what `voxrelay sdk` prints.
fn served(printed: &str) -> Vec<(String, String)> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix("/sdk/")?.split_once(' '));
    lines.map(|(name, hash)| (name.to_owned(), hash.trim_start().to_owned())).collect()
}

/// Everything that a release consists of, built and looked at. Nothing is published.
pub(super) fn release() -> Result<Outcome> {
    crate::release::run(true)?;
    Ok(Outcome::ok())
}

/// The alerts, as Prometheus itself reads them. Which metrics they read is held by a test in any case.
pub(super) fn alerts() -> Result<Outcome> {
    if !is_there(PROMTOOL) {
        return Ok(Outcome::ok().not_checked("the alerts: NOT CHECKED by Prometheus, there is no promtool"));
    }
    let rules = workspace::path("deploy/prometheus/alerts.yaml");
    run(Command::new(PROMTOOL).args(["check", "rules"]).arg(rules), "Prometheus says above what is wrong")?;
    Ok(Outcome::ok())
}

pub(super) fn clippy() -> Result<Outcome> {
    let advice = "clippy says above what it wants";
    let strict = ["--", "-D", "warnings"];
    run(
        workspace::cargo().args(["clippy", "--workspace", "--all-targets", "--all-features"]).args(strict),
        advice,
    )?;
    run(
        workspace::cargo()
            .args([
                "clippy",
                "--package",
                "sdk-wasm",
                "--package",
                "voice-wasm",
                "--target",
                WASM,
                "--all-targets",
            ])
            .args(strict),
        advice,
    )?;
    Ok(Outcome::ok())
}

pub(super) fn docs() -> Result<Outcome> {
    run(
        workspace::cargo()
            .args(["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "-D warnings"),
        "rustdoc says above what it wants",
    )?;
    Ok(Outcome::ok())
}

/// What the tests run, built once. Without xtask, whose own tests are built with the features it already has.
pub(super) fn build() -> Result<Outcome> {
    run(
        workspace::cargo().args(["build", "--workspace", "--exclude", "xtask", "--all-targets"]),
        "the message above says where the Rust code is wrong",
    )?;
    // Steps that run beside one another would wait for each other's compiler.
    super::tests::build_wasm_runner()?;
    Ok(Outcome::ok())
}

pub(super) fn types() -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    let (snippets, count) = snippets::write()?;
    let projects = ["npm", "npm/test", "tests", "tests/tsconfig.examples.json"].map(PathBuf::from);
    for project in projects.iter().chain([&snippets]) {
        let checked = run(
            workspace::node().args(["node_modules/typescript/bin/tsc", "--noEmit", "--project"]).arg(project),
            "the TypeScript compiler says above what it wants",
        );
        if let Err(error) = checked {
            outcome.failed += 1;
            outcome.notes.push(format!("{error:#}"));
        }
    }
    if let Err(error) = crate::reference::write() {
        outcome.failed += 1;
        outcome.notes.push(format!("{error:#}"));
    }
    Ok(outcome.note(format!("{count} snippets of the documents; the reference has every exported name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_relay_prints_is_read_as_files_and_hashes() {
        let pairs = [("a.js", "sha384-a"), ("long.wasm", "sha384-b")];
        let pairs = pairs.map(|(name, hash)| (name.to_owned(), hash.to_owned()));
        assert_eq!(served("voxrelay 1.2.3\n/sdk/a.js       sha384-a\n/sdk/long.wasm  sha384-b\n"), pairs);
    }
}
