//! Programs from PyPI, each in an environment of its own. Where PyPI is out of reach, a step says so instead of calling itself passed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::{output, step};
use crate::workspace;

/// Where this program of this package, such as `schemathesis==4.32.5`, lies; `None` if it is not to be had.
pub(super) fn program(package: &str, name: &str) -> Option<PathBuf> {
    let folder = workspace::cache().join(package.replace("==", "-"));
    let (bin, python) = if cfg!(windows) { ("Scripts", "python") } else { ("bin", "python3") };
    let ready = folder.join("ready");
    if !ready.exists() {
        let install = || -> Result<()> {
            output(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder), "install Python 3")?;
            let mut pip = Command::new(folder.join(bin).join("python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]);
            output(&mut pip, "PyPI cannot be reached")?;
            fs::write(&ready, "").context("the cache cannot be written")
        };
        if let Err(error) = step(format!("installing {package} (pip)"), install) {
            eprintln!("  {error:#}");
            return None;
        }
    }
    Some(folder.join(bin).join(name))
}
