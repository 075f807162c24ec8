//! What others wrote: licences and sources of every dependency, several versions of one crate, known vulnerabilities.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use spdx::{Expression, Licensee};

use super::advisories;
use super::outcome::Outcome;
use crate::step::output;
use crate::workspace;

/// Licences that ask for no more than to be named.
const LICENCES: [&str; 15] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "BlueOak-1.0.0",
    "Zlib",
    "BSL-1.0",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
];

/// How the source of a crate begins that comes from a registry, and not from a repository or a folder.
const REGISTRY: &str = "registry+";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A crate of the lock file.
#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: semver::Version,
    license: Option<String>,
    /// `None` for the crates of this workspace.
    source: Option<String>,
}

#[derive(Deserialize)]
struct NpmLock {
    packages: BTreeMap<String, NpmPackage>,
}

#[derive(Deserialize)]
struct NpmPackage {
    license: Option<String>,
}

pub(super) fn check() -> Result<Outcome> {
    let metadata = output(
        workspace::cargo().args(["metadata", "--format-version", "1", "--locked", "--all-features"]),
        "Cargo.lock is stale: run `cargo check` and commit it",
    )?;
    let Metadata { packages } =
        serde_json::from_str(&metadata).context("`cargo metadata` printed another shape")?;
    let (own, foreign): (Vec<Package>, Vec<Package>) =
        packages.into_iter().partition(|package| package.source.is_none());
    let mut faults = crate_faults(&foreign);
    faults.extend(npm_licence_faults()?);
    let mut outcome = Outcome { failed: faults.len() as u64, notes: faults, ..Outcome::ok() };
    outcome = outcome.note(format!("{} crates of others, {} of our own", foreign.len(), own.len()));
    outcome = outcome.note(several_versions(&foreign));
    outcome = advisories::rust(outcome, &foreign)?;
    advisories::npm(outcome)
}

fn crate_faults(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for Package { name, version, license, source } in packages {
        if !source.as_deref().is_some_and(|source| source.starts_with(REGISTRY)) {
            faults.push(format!("{name} {version} does not come from the registry"));
        }
        if !license.as_deref().is_some_and(is_accepted) {
            let license = license.as_deref().unwrap_or("none");
            faults.push(format!(
                "{name} {version} has the licence {license}: read it, then extend LICENCES or replace it"
            ));
        }
    }
    faults
}

fn npm_licence_faults() -> Result<Vec<String>> {
    let lock = fs::read_to_string(workspace::path("package-lock.json"))?;
    let lock: NpmLock = serde_json::from_str(&lock).context("package-lock.json has another shape")?;
    let foreign = lock
        .packages
        .iter()
        .filter(|(path, package)| path.contains("node_modules/") && package.license.is_some());
    Ok(foreign
        .filter(|(_, package)| !package.license.as_deref().is_some_and(is_accepted))
        .map(|(path, package)| format!("{path} has the licence {:?}", package.license))
        .collect())
}

/// Whether we may choose licences of the list to fulfil the expression.
fn is_accepted(expression: &str) -> bool {
    let accepted: Vec<Licensee> = LICENCES
        .iter()
        .map(|licence| Licensee::parse(licence).expect("the list holds SPDX licences"))
        .collect();
    Expression::parse_mode(expression, spdx::ParseMode::LAX).is_ok_and(|parsed| {
        parsed.evaluate(|wanted| accepted.iter().any(|licence| licence.satisfies(wanted)))
    })
}

fn several_versions(packages: &[Package]) -> String {
    let mut seen = HashSet::new();
    let mut twice: Vec<&str> =
        packages.iter().map(|package| package.name.as_str()).filter(|name| !seen.insert(*name)).collect();
    twice.sort_unstable();
    twice.dedup();
    format!("{} crates in more than one version: {}", twice.len(), twice.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_accepted_if_one_of_its_choices_is() {
        assert!(is_accepted("MIT OR Apache-2.0"));
        assert!(is_accepted("MIT/Apache-2.0"));
        assert!(is_accepted("GPL-3.0-only OR MIT"));
        assert!(is_accepted("Apache-2.0 WITH LLVM-exception OR MIT"));
        assert!(!is_accepted("GPL-3.0-only"));
        assert!(!is_accepted("MIT AND AGPL-3.0-only"));
        assert!(!is_accepted("whatever"));
    }
}
