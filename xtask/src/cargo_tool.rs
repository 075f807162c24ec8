//! Cargo's own tools that are needed now and then: installed into the cache, at one version, when they are first asked for.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::step::{run, step};
use crate::workspace;

/// A command of cargo that comes from crates.io.
pub(crate) struct CargoTool {
    /// Its crate and its program, such as `cargo-fuzz`.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl CargoTool {
    /// The program; it is installed if it is not there.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        let root = workspace::cache().join(format!("{}-{}", self.name, self.version));
        let program = root.join("bin").join(format!("{}{}", self.name, std::env::consts::EXE_SUFFIX));
        if program.exists() {
            return Ok(program);
        }
        let title = format!("installing {} {}", self.name, self.version);
        let advice = format!("{} comes from crates.io, which may be out of reach", self.name);
        step(title, || {
            let mut install = workspace::cargo();
            install.args(["install", "--quiet", "--locked", "--version", self.version, "--root"]).arg(&root);
            run(install.arg(self.name).env_remove("CARGO_TARGET_DIR"), &advice)
        })?;
        Ok(program)
    }
}

/// Whether the program is there and runs (Ubuntu's `chromium-browser` outside snap is there and does not).
pub(crate) fn answers(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
