//! Programs from PyPI, each in an environment of its own. Where PyPI is out of reach, a step says so instead of calling itself passed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::{output, step};
use crate::workspace;

/// Where this program of this package, such as `schemathesis==4.32.5`, lies; `None` if it is not to be had.
pub(crate) fn program(package: &str, name: &str) -> Option<PathBuf> {
    environment(&package.replace("==", "-"), package, &[package])
        .inspect_err(|error| eprintln!("  {error:#}"))
        .ok()
        .map(|bin| bin.join(name))
}

/// The Python of an environment that has what this file of requirements names.
///
/// # Errors
/// When Python is missing, or what is named cannot be had.
pub(crate) fn python(requirements: &Path) -> Result<PathBuf> {
    let wanted = fs::read_to_string(requirements).context("the requirements cannot be read")?;
    let names: Vec<&str> = wanted.split_whitespace().collect();
    let folder = names.join("-").replace("==", "-");
    let file = requirements.to_string_lossy();
    Ok(environment(&folder, &names.join(", "), &["--requirement", &file])?.join("python"))
}

/// The folder of programs of an environment in which pip has installed this.
fn environment(folder: &str, title: &str, wanted: &[&str]) -> Result<PathBuf> {
    let folder = workspace::cache().join(folder);
    let (bin, python) = if cfg!(windows) { ("Scripts", "python") } else { ("bin", "python3") };
    let ready = folder.join("ready");
    if !ready.exists() {
        step(format!("installing {title} (pip)"), || {
            output(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder), "install Python 3")?;
            let mut pip = Command::new(folder.join(bin).join("python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(wanted);
            output(&mut pip, "PyPI cannot be reached")?;
            fs::write(&ready, "").context("the cache cannot be written")
        })?;
    }
    Ok(folder.join(bin))
}
