//! Programs from PyPI, each in an environment of its own. Where PyPI is out of reach, a step says so instead of calling itself passed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::{output, step};
use crate::workspace;

/// Where this program of this package, such as `schemathesis==4.32.5`, lies; `None` if it is not to be had.
pub(crate) fn program(package: &str, name: &str) -> Option<PathBuf> {
    environment(&package.replace("==", "-"), package, "", &[package])
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
    let folder = requirements.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let title = requirements.strip_prefix(workspace::root()).unwrap_or(requirements).to_string_lossy();
    let file = requirements.to_string_lossy();
    Ok(environment(&format!("python-{folder}"), &title, &wanted, &["--requirement", &file])?.join("python"))
}

/// The folder of programs of an environment in which pip has done what its arguments say. It is made again when `wanted` is another text.
fn environment(folder: &str, title: &str, wanted: &str, arguments: &[&str]) -> Result<PathBuf> {
    let folder = workspace::cache().join(folder);
    let (bin, python) = if cfg!(windows) { ("Scripts", "python") } else { ("bin", "python3") };
    let ready = folder.join("ready");
    if !fs::read_to_string(&ready).is_ok_and(|installed| installed == wanted) {
        step(format!("installing {title} (pip)"), || {
            output(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder), "install Python 3")?;
            let mut pip = Command::new(folder.join(bin).join("python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(arguments);
            output(&mut pip, "PyPI cannot be reached")?;
            fs::write(&ready, wanted).context("the cache cannot be written")
        })?;
    }
    Ok(folder.join(bin))
}
