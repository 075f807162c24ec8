//! What has to be there before anything is built: the wasm target, Node, the npm packages.

use std::process::Command;

use anyhow::{Result, bail};

use crate::stamp::Stamp;
use crate::step::{output, run, step, up_to_date};
use crate::workspace::{self, WASM};

/// The oldest that Vite, webpack and the others who build the package run on.
const NODE_AT_LEAST: (u32, u32) = (20, 19);
const NODE_ADVICE: &str = "install Node.js 20.19 or newer from https://nodejs.org and run this again";

/// Adds the wasm target to the Rust toolchain of this workspace.
pub(crate) fn wasm_target() -> Result<()> {
    target(WASM)
}

/// Adds a target to the Rust toolchain of this workspace.
pub(crate) fn target(name: &str) -> Result<()> {
    let advice = format!(
        "Rust's target {name} is missing: install Rust by https://rustup.rs, or this target by your system"
    );
    let sysroot =
        output(Command::new("rustc").current_dir(workspace::root()).args(["--print", "sysroot"]), &advice)?;
    let libraries = std::path::Path::new(sysroot.trim()).join("lib/rustlib").join(name);
    if libraries.exists() {
        return Ok(());
    }
    step(format!("adding the target {name}"), || {
        run(Command::new("rustup").current_dir(workspace::root()).args(["target", "add", name]), &advice)
    })
}

/// Checks that Node is there and new enough.
pub(crate) fn node() -> Result<()> {
    let version = output(workspace::node().arg("--version"), NODE_ADVICE)?;
    let version = version.trim();
    let mut numbers =
        version.trim_start_matches('v').split('.').map_while(|number| number.parse::<u32>().ok());
    match numbers.next().zip(numbers.next()) {
        Some(found) if found >= NODE_AT_LEAST => Ok(()),
        Some(_) => bail!("Node.js {version} is too old: {NODE_ADVICE}"),
        None => bail!("`node --version` said {version:?}: {NODE_ADVICE}"),
    }
}

/// Installs the npm packages of the lock file, if they are not the ones that are installed.
pub(crate) fn npm_packages() -> Result<()> {
    let title = "npm packages of package-lock.json";
    let installed = workspace::path("node_modules/.package-lock.json");
    let stamp = Stamp::new("npm-packages", &[workspace::path("package-lock.json")], "", &[installed])?;
    if stamp.is_current()? {
        up_to_date(title);
        return Ok(());
    }
    step(title, || {
        run(
            workspace::npm().args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]),
            "check the network; if package.json and package-lock.json disagree, run `npm install` and commit the lock file",
        )
    })?;
    stamp.keep()
}
