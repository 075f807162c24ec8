//! `cargo xtask release`: everything that a release consists of, built and looked at. `--dry-run` does the same of a commit that is not to be released
//! yet. What is published by whom is in `docs/releasing.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::build::{self, VENDORED};
use crate::cargo_tool::CargoTool;
use crate::gate;
use crate::step::{output, run as run_program, step};
use crate::workspace::{self, WASM};

const TOOL: CargoTool = CargoTool { name: "cargo-cyclonedx", version: "0.5.9" };
/// The name that the tool is told to write under, without its ending: a file of this name beside each manifest of the workspace.
const BILL: &str = "voxrelay-bill-of-materials";
/// The room whose program has the dashboard inside.
const RELAY_ROOM: &str = "relay";
/// Rooms, each with the name of its bill.
type Rooms = &'static [(&'static str, &'static str)];

/// For which target, of which rooms, and under which names bills are released; without a target it is this system's.
const BILLS: [(Option<&str>, Rooms); 2] = [
    (None, &[(RELAY_ROOM, "voxrelay.cdx.json")]),
    (Some(WASM), &[("sdk-wasm", "voxrelay-wasm.cdx.json"), ("voice-wasm", "voxrelay-voice.cdx.json")]),
];
/// How the relay is built that is deployed, here and in the image. By itself: beside other packages its dependencies would have what those want, too.
pub(crate) const RELAY: [&str; 7] =
    ["build", "--release", "--locked", "--package", "relay", "--bin", "voxrelay"];
/// What a page loads by a script tag: without the last one no call is made where no WebSocket gets through.
const SCRIPT: [&str; 3] = ["voxrelay.js", "voxrelay.wasm", "http.js"];
/// The sums of all files, as `sha256sum --check` reads them.
const SUMS: &str = "SHA256SUMS";

#[derive(Deserialize)]
struct Manifest {
    workspace: Workspace,
}

#[derive(Deserialize)]
struct Workspace {
    package: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    version: String,
}

/// A package from npm, as its `package.json` has it.
#[derive(Deserialize)]
struct Packaged {
    name: String,
    version: String,
    license: String,
}

/// Builds a release into a folder of the target directory, says what is in it, and fails if it may not be published. If it is a dry run it may lack
/// what is only written for a release. Publishing is done by hand.
pub(crate) fn run(is_dry: bool) -> Result<()> {
    let read =
        |path: &str| fs::read_to_string(workspace::path(path)).with_context(|| format!("cannot read {path}"));
    let manifest: Manifest = toml::from_str(&read("Cargo.toml")?).context("Cargo.toml has no version")?;
    let package: Versioned =
        serde_json::from_str(&read("npm/package.json")?).context("npm/package.json has no version")?;
    let version = manifest.workspace.package.version;
    let mut faults = faults(&version, &package.version);
    let unwritten = unwritten(&version, &read("CHANGELOG.md")?);
    if !is_dry {
        faults.extend(unwritten.clone());
    }
    let folder = workspace::cache().join("release");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    // The relay has the SDK in it.
    build::sdk()?;
    let mut files = vec![step("building the relay", || binary(&folder, &version))?];
    let tarball = step("packing the package", || pack(&folder))?;
    files.push(tarball.clone());
    for name in SCRIPT {
        files.push(copied(&workspace::path("npm/dist").join(name), &folder.join(name))?);
    }
    files.extend(step("writing the bills of materials of the crates", || crates_bills(&folder))?);
    files.push(step("writing the package's bill of materials", || npm_bill(&folder, &tarball, &version))?);
    let (notes, is_good) = step("looking others' code up: licences, advisories", gate::of_others)?;
    if !is_good {
        faults.push("the code of others: see above".to_owned());
    }
    println!("voxrelay {version}, in {}", folder.display());
    let mut sums = String::new();
    for file in &files {
        let content = fs::read(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let sum: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{:>12}  {sum}  {name}", content.len());
        sums.push_str(&format!("{sum}  {name}\n"));
    }
    fs::write(folder.join(SUMS), sums)?;
    notes.iter().for_each(|note| println!("{note}"));
    if !faults.is_empty() {
        bail!("this cannot be released:\n  {}", faults.join("\n  "));
    }
    if let Some(unwritten) = unwritten {
        println!("before it is released: {unwritten}");
    }
    println!("all of it agrees; nothing is published");
    Ok(())
}

/// What does not agree about the version.
fn faults(workspace: &str, npm: &str) -> Vec<String> {
    let fault = format!("Cargo.toml says version {workspace}, npm/package.json says {npm}");
    if npm == workspace { Vec::new() } else { vec![fault] }
}

/// What is only written for a release, where it is not: until then all that is new stands under Unreleased.
fn unwritten(version: &str, changelog: &str) -> Option<String> {
    let sections = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let mut names = sections.filter_map(|name| name.split_whitespace().next());
    let is_there = names.any(|name| name.trim_matches(['[', ']']) == version);
    let fault =
        || format!("CHANGELOG.md has no section `## {version}`: give Unreleased that name, with the day");
    (!is_there).then(fault)
}

/// The relay as it is deployed.
fn binary(folder: &Path, version: &str) -> Result<PathBuf> {
    run_program(workspace::cargo().args(RELAY), "the message above says what is wrong")?;
    let name = format!("voxrelay{}", std::env::consts::EXE_SUFFIX);
    let program = copied(&workspace::target().join("release").join(&name), &folder.join(&name))?;
    let said = output(Command::new(&program).arg("--version"), "the program that was built does not run")?;
    if said.trim() != format!("voxrelay {version}") {
        bail!("the program says `{}` and not version {version}", said.trim());
    }
    Ok(program)
}

fn pack(folder: &Path) -> Result<PathBuf> {
    let advice = "see `npm pack --dry-run --workspace npm`";
    let listing = output(
        workspace::npm().args(["pack", "--workspace", "npm", "--json", "--pack-destination"]).arg(folder),
        advice,
    )?;
    let packed: Value = serde_json::from_str(&listing).context("`npm pack --json` did not print a list")?;
    let name = packed[0]["filename"].as_str().context("`npm pack` made no package")?;
    Ok(folder.join(name))
}

/// What the relay is made of, and the modules that a page loads: each has crates in it. The tool writes a bill beside each manifest of the
/// workspace, from which these are taken.
fn crates_bills(folder: &Path) -> Result<Vec<PathBuf>> {
    let program = TOOL.program()?;
    let name = format!("{BILL}.json");
    let mut bills = Vec::new();
    for (target, rooms) in BILLS {
        let mut tool = Command::new(&program);
        tool.current_dir(workspace::root()).args([
            "cyclonedx",
            "--quiet",
            "--manifest-path",
            "relay/Cargo.toml",
        ]);
        tool.args(["--format", "json", "--all", "--spec-version", "1.5", "--override-filename", BILL]);
        tool.args(target.iter().flat_map(|target| ["--target", *target]));
        let written = output(&mut tool, "see https://github.com/CycloneDX/cyclonedx-rust-cargo");
        let mut taken = Ok(());
        if written.is_ok() {
            for (room, kept) in rooms {
                let bill = complete(room, &workspace::path(room).join(&name), &folder.join(kept));
                taken = taken.and(bill.map(|bill| bills.push(bill)));
            }
        }
        for room in fs::read_dir(workspace::root())? {
            let bill = room?.path().join(&name);
            if bill.exists() {
                fs::remove_file(bill)?;
            }
        }
        written.and(taken)?;
    }
    bills.iter().try_for_each(|bill| look_at(bill))?;
    Ok(bills)
}

/// Writes the bill of a room as it is released, from what the tool wrote.
fn complete(room: &str, from: &Path, to: &Path) -> Result<PathBuf> {
    let written = fs::read_to_string(from).with_context(|| format!("{} was not made", from.display()))?;
    let mut bill: Value = serde_json::from_str(&written)?;
    add_vendored(room, &mut bill)?;
    fs::write(to, serde_json::to_string_pretty(&bill)?)?;
    Ok(to.to_owned())
}

/// Adds to the relay's bill the packages from npm whose files it serves with the dashboard: they are inside of it, and no crate brings them.
fn add_vendored(room: &str, bill: &mut Value) -> Result<()> {
    if room != RELAY_ROOM {
        return Ok(());
    }
    for vendored in VENDORED {
        let manifest = format!("node_modules/{}/package.json", vendored.package);
        let manifest = fs::read_to_string(workspace::path(&manifest))
            .with_context(|| format!("{manifest} is not there: run `npm ci` in the root of the workspace"))?;
        let Packaged { name, version, license } =
            serde_json::from_str(&manifest).context("it has no name, version or licence")?;
        // A scope begins with what has a meaning in such an address.
        let purl = format!("pkg:npm/{}@{version}", name.replace('@', "%40"));
        let whole = bill["metadata"]["component"]["bom-ref"].clone();
        let components = bill["components"].as_array_mut().context("the bill has no components")?;
        components.push(json!({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "scope": "required",
            "licenses": [{ "expression": license }], "purl": purl,
        }));
        let dependencies = bill["dependencies"].as_array_mut().context("the bill has no dependencies")?;
        let of_the_relay = dependencies.iter_mut().find(|dependency| dependency["ref"] == whole);
        let of_the_relay = of_the_relay.context("the bill does not say on what the relay depends")?;
        match of_the_relay["dependsOn"].as_array_mut() {
            Some(others) => others.push(json!(purl)),
            None => of_the_relay["dependsOn"] = json!([purl]),
        }
        dependencies.push(json!({ "ref": purl }));
    }
    Ok(())
}

/// What whoever installs the package gets with it.
fn npm_bill(folder: &Path, tarball: &Path, version: &str) -> Result<PathBuf> {
    let stranger = workspace::cache().join("release-stranger");
    if stranger.exists() {
        fs::remove_dir_all(&stranger)?;
    }
    fs::create_dir_all(&stranger)?;
    let manifest = json!({ "name": "voxrelay-release", "version": version, "private": true });
    fs::write(stranger.join("package.json"), manifest.to_string())?;
    let advice = "`npm sbom` is there from npm 10 on";
    let mut install = workspace::npm();
    install.current_dir(&stranger).args(["install", "--package-lock-only", "--no-audit", "--no-fund"]);
    output(install.arg(tarball), advice)?;
    let mut npm = workspace::npm();
    npm.current_dir(&stranger).args(["sbom", "--sbom-format=cyclonedx", "--package-lock-only"]);
    let bill = folder.join("voxrelay-npm.cdx.json");
    fs::write(&bill, output(&mut npm, advice)?)?;
    look_at(&bill)?;
    Ok(bill)
}

/// Takes the folders of this machine out of a bill, and sees that it is one.
fn look_at(bill: &Path) -> Result<()> {
    let text = fs::read_to_string(bill)?;
    let folders =
        [workspace::cache(), workspace::root().to_owned()].map(|folder| folder.display().to_string());
    let text = folders.iter().fold(text, |text, folder| text.replace(folder.as_str(), ""));
    let content: Value = serde_json::from_str(&text)?;
    if content["bomFormat"] != "CycloneDX" {
        bail!("{} is no bill of materials of CycloneDX", bill.display());
    }
    fs::write(bill, text)?;
    Ok(())
}

fn copied(from: &Path, to: &Path) -> Result<PathBuf> {
    fs::copy(from, to).with_context(|| format!("{} was not made", from.display()))?;
    Ok(to.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{VENDOR, Vendored};

    #[test]
    fn a_release_has_one_version_and_a_section_that_says_what_is_new() {
        let changelog = "# Changelog\n\n## Unreleased\n\n## 0.2.0 (2026-12-01)\n\n## [0.1.0]\n";
        for released in ["0.2.0", "0.1.0"] {
            assert_eq!(faults(released, released), Vec::<String>::new());
            assert_eq!(unwritten(released, changelog), None);
        }
        let wrong = faults("0.3.0", "0.2.0");
        assert!(wrong.len() == 1 && wrong[0].contains("npm/package.json says 0.2.0"), "{wrong:?}");
        let missing = unwritten("0.3.0", changelog);
        assert!(missing.as_ref().is_some_and(|missing| missing.contains("`## 0.3.0`")), "{missing:?}");
        assert!(unwritten("0.2", changelog).is_some(), "a part of a version is none");
    }

    #[test]
    fn the_image_has_the_relay_that_is_built_here() {
        let image = fs::read_to_string(workspace::path("deploy/Dockerfile")).expect("it is there");
        let command = format!("&& cargo {} \\\n", RELAY.join(" "));
        assert!(image.contains(&command), "no `{command}` in {image}");
    }

    #[test]
    fn all_that_the_dashboard_has_of_others_is_in_the_relays_bill() {
        let written = json!({
            "metadata": { "component": { "bom-ref": "the relay" } },
            "components": [],
            "dependencies": [{ "ref": "the relay" }],
        });
        let mut bill = written.clone();
        add_vendored("relay", &mut bill).expect("the packages are installed");
        let lock = fs::read_to_string(workspace::path("package-lock.json")).expect("it is there");
        let lock: Value = serde_json::from_str(&lock).expect("JSON");
        let mut known = Vec::new();
        for Vendored { package, files } in VENDORED {
            let locked = &lock["packages"][format!("node_modules/{package}")];
            let components = bill["components"].as_array().expect("a list");
            let found = components.iter().find(|component| component["name"] == package);
            let found = found.unwrap_or_else(|| panic!("{package} is not in {bill}"));
            let version = locked["version"].as_str().expect("a version");
            assert_eq!(found["version"], version);
            assert_eq!(found["licenses"][0]["expression"], locked["license"]);
            assert_eq!(found["purl"], format!("pkg:npm/{package}@{version}"));
            let depends = bill["dependencies"][0]["dependsOn"].as_array().expect("a list");
            assert!(depends.contains(&found["bom-ref"]), "the relay depends on it: {bill}");
            known.extend(files.iter().map(|(_, name)| *name));
        }
        let folder = fs::read_dir(workspace::path(VENDOR)).expect("`cargo xtask build` makes it");
        for file in folder {
            let name = file.expect("readable").file_name().to_string_lossy().into_owned();
            let plain = name.trim_end_matches(".gz").trim_end_matches(".br");
            assert!(known.contains(&plain), "{VENDOR}/{name} is of no package that is in the bill");
        }
        let mut of_another = written.clone();
        add_vendored("sdk-wasm", &mut of_another).expect("nothing to add");
        assert_eq!(of_another, written, "what a page loads has no dashboard in it");
    }

    #[test]
    fn a_dry_run_of_this_commit_finds_nothing_that_speaks_against_a_release() {
        let read = |path: &str| fs::read_to_string(workspace::path(path)).expect("it is there");
        let manifest: Manifest = toml::from_str(&read("Cargo.toml")).expect("TOML");
        let package: Versioned = serde_json::from_str(&read("npm/package.json")).expect("JSON");
        let version = manifest.workspace.package.version;
        assert_eq!(faults(&version, &package.version), Vec::<String>::new());
    }
}
