//! Programs and libraries from PyPI, each in an environment of its own. Where PyPI is out of reach, a step says so instead of calling
//! itself passed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::{output, step};
use crate::workspace;

/// Where this program of this package, such as `schemathesis==4.32.5`, lies; `None` if it is not to be had.
pub(super) fn program(package: &str, name: &str) -> Option<PathBuf> {
    let folder = workspace::cache().join(package.replace("==", "-"));
    environment(&folder, package, "", &[OsStr::new(package)]).map(|bin| bin.join(name))
}

/// A Python that has what a file of requirements lists; `None` if it is not to be had.
pub(super) fn python(name: &str, requirements: &Path) -> Result<Option<PathBuf>> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let arguments = [OsStr::new("--requirement"), requirements.as_os_str()];
    Ok(environment(&workspace::cache().join(name), name, &wanted, &arguments).map(|bin| bin.join("python")))
}

/// The programs of an environment into which pip has installed what its arguments ask for. It is made again if `wanted` is another text.
fn environment(folder: &Path, title: &str, wanted: &str, arguments: &[&OsStr]) -> Option<PathBuf> {
    let (bin, python) = if cfg!(windows) { ("Scripts", "python") } else { ("bin", "python3") };
    let bin = folder.join(bin);
    let ready = folder.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|installed| installed == wanted) {
        return Some(bin);
    }
    let install = || -> Result<()> {
        output(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder), "install Python 3")?;
        let mut pip = Command::new(bin.join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(arguments);
        output(&mut pip, "PyPI cannot be reached")?;
        fs::write(&ready, wanted).context("the cache cannot be written")
    };
    if let Err(error) = step(format!("installing {title} (pip)"), install) {
        eprintln!("  {error:#}");
        return None;
    }
    Some(bin)
}
