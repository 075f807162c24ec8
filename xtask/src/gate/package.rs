//! The npm package as a stranger gets it: packed, installed elsewhere, imported under Node, built by bundlers.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::outcome::Outcome;
use super::tools;
use crate::step::{output, watch};
use crate::workspace;

/// What has to be in the package, whatever else is.
const FILES: [&str; 13] = [
    "package.json",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "dist/index.js",
    "dist/element.js",
    "dist/later.js",
    "dist/element-call.js",
    "dist/preflight.js",
    "dist/http.js",
    "dist/worker.js",
    "dist/voxrelay.js",
    "dist/voxrelay.wasm",
    "dist/voice.wasm",
];

#[derive(Deserialize)]
struct Packed {
    filename: String,
    files: Vec<PackedFile>,
}

#[derive(Deserialize)]
struct PackedFile {
    path: String,
}

/// A server renders pages without `window`: importing must work there, and so must a call that is only made.
const IMPORT: &str = "\
const sdk = await import('voxrelay');
if (typeof sdk.VoiceClient?.connect !== 'function') throw new Error('voxrelay does not export VoiceClient.connect');
const call = new sdk.Call({ url: '/v1/call', token: () => '', microphone: { deviceId: 'a' } });
if (call.snapshot.state !== 'idle') throw new Error('a call that was only made is not idle');
if ('window' in globalThis || 'document' in globalThis) throw new Error('the import, or the call, made a window');
console.log(Object.keys(sdk).join(' '));";

pub(super) fn check() -> Result<Outcome> {
    let folder = workspace::cache().join("package");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let advice = "see `npm pack --dry-run --workspace npm`";
    let listing = output(
        workspace::npm().args(["pack", "--workspace", "npm", "--json", "--pack-destination"]).arg(&folder),
        advice,
    )?;
    let packed: Vec<Packed> =
        serde_json::from_str(&listing).context("`npm pack --json` did not print a list")?;
    let [packed] = packed.as_slice() else {
        bail!("`npm pack` made {} packages instead of one", packed.len())
    };
    for file in FILES {
        if !packed.files.iter().any(|packed| packed.path == file) {
            bail!("{file} is not in the package: see \"files\" in npm/package.json");
        }
    }
    let tarball = folder.join(&packed.filename);
    judge(&tarball)?;
    fs::write(folder.join("package.json"), r#"{ "name": "stranger", "private": true, "type": "module" }"#)?;
    output(
        workspace::npm().current_dir(&folder).args(["install", "--no-audit", "--no-fund"]).arg(&tarball),
        "the package has to install without a build",
    )?;
    let exports = output(
        workspace::node().current_dir(&folder).args(["--input-type=module", "--eval", IMPORT]),
        "the package must not touch `window` when it is imported",
    )?;
    let names = exports.trim();
    let outcome = Outcome { passed: 1, ..Outcome::ok() };
    Ok(outcome.note(format!("{} files; exports {names}", packed.files.len())))
}

/// Whether others who look at packages find nothing wrong with it: what its files are, and that TypeScript finds the types of each entry.
fn judge(tarball: &Path) -> Result<()> {
    for (judge, arguments) in [("publint", &["run", "--strict"][..]), ("attw", &["--profile", "esm-only"])] {
        let program = workspace::path("node_modules/.bin").join(judge);
        let advice = "see \"exports\" in npm/package.json";
        output(Command::new(program).current_dir(workspace::root()).args(arguments).arg(tarball), advice)?;
    }
    Ok(())
}

/// The bundlers that most people use, and the script tag: each builds the packed package, and a call is made. Then the examples.
pub(super) fn bundlers() -> Result<Outcome> {
    built_by(&["gate.test.mjs", "examples.test.mjs"])
}

/// The other bundlers, and what of the examples takes long.
pub(super) fn more_bundlers() -> Result<Outcome> {
    built_by(&["more.test.mjs", "supabase.test.mjs", "examples-more.test.mjs"])
}

fn built_by(files: &[&str]) -> Result<Outcome> {
    let mut node = workspace::node();
    node.env("E2E_RELAY", workspace::program("voxrelay"))
        .env("E2E_FAKES", workspace::program("fakes"))
        .env("E2E_CHROMIUM", tools::chromium()?)
        .env("E2E_INSTALLED", workspace::target().join("installed"))
        .args(super::tests::ONE_FILE_AT_A_TIME)
        .args(files.iter().map(|file| workspace::path("tests/bundlers").join(file)));
    let mut outcome = Outcome::ok();
    let ok = watch(&mut node, super::tests::NODE_ADVICE, |line| outcome.read(line))?;
    Ok(outcome.finish(ok, "node --test tests/bundlers"))
}
