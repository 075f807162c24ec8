//! `cargo xtask reference`: the package's reference, written from its declarations by TypeDoc.

use std::path::PathBuf;

use anyhow::Result;

use crate::step::{output, step};
use crate::workspace;

/// Builds the package and writes its reference, and says where.
pub(crate) fn run() -> Result<()> {
    crate::build::sdk()?;
    let folder = step("writing the reference", write)?;
    println!("{}", folder.join("index.html").display());
    Ok(())
}

/// Writes the reference of the package as it is built. TypeDoc needs a TypeScript of its own: both are installed when they are asked for.
///
/// # Errors
/// If an exported name is not documented, or a link leads nowhere.
pub(crate) fn write() -> Result<PathBuf> {
    let folder = workspace::target().join("reference");
    let mut node = workspace::node();
    node.arg("npm/reference/write.mjs").arg(&folder);
    node.env("E2E_INSTALLED", workspace::target().join("installed"));
    output(&mut node, "the message says what is not documented, or which link leads nowhere")?;
    Ok(folder)
}
