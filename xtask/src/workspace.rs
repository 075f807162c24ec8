//! Where things are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that browsers run.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root of the workspace")
}

/// A path below the root.
pub(crate) fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// Cargo's target directory: the one this program was built into.
pub(crate) fn target() -> PathBuf {
    let own = env::current_exe().expect("the system knows the path of a running program");
    own.ancestors().nth(2).expect("cargo puts programs into <target>/<profile>").to_path_buf()
}

/// Where xtask keeps what it needs between runs.
pub(crate) fn cache() -> PathBuf {
    target().join("xtask")
}

/// What is left of the disk that the target directory is on, such as `12G`, where the system has `df`.
pub(crate) fn free_disk() -> Option<String> {
    let said = Command::new("df").arg("-Ph").arg(target()).output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout);
    said.lines().nth(1)?.split_whitespace().nth(3).map(str::to_owned)
}

/// A program that `cargo build` made with the default profile.
pub(crate) fn program(name: &str) -> PathBuf {
    target().join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Cargo, in the root, with the target directory this program came from.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", target());
    // What `cargo run` tells this program about itself would make build scripts of other packages run again.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Node, in the root.
pub(crate) fn node() -> Command {
    let mut node = Command::new("node");
    node.current_dir(root());
    node
}

/// npm, in the root.
pub(crate) fn npm() -> Command {
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.current_dir(root());
    npm
}
