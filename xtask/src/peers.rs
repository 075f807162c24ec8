//! What a page downloads of others' packages, beside what it downloads of this one.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::step::{output, step};
use crate::workspace;

/// A package that was bundled as an app's build would.
#[derive(Deserialize)]
struct Peer {
    name: String,
    version: String,
    /// Bytes.
    brotli: usize,
}

/// Prints the peers' sizes below `ours`, which are bytes brotli. They are installed for that, each at the version that its lock file names; without
/// a network that is said.
pub(crate) fn print(ours: &[(&str, usize)]) -> Result<()> {
    println!("\n{:<52} {:>9}", "what a page fetches to make a call", "brotli");
    for (way, bytes) in ours {
        println!("  {:<50} {bytes:>9}", format!("voxrelay, {way}"));
    }
    let folder = workspace::target().join("peers");
    let peers = match step("bundling the peers", || bundle(&folder)) {
        Ok(peers) => peers,
        Err(error) => {
            println!("  peers: NOT MEASURED, {error:#}");
            return Ok(());
        }
    };
    for Peer { name, version, brotli } in peers {
        println!("  {:<50} {brotli:>9}", format!("{name} {version}"));
    }
    println!("Peers without what they fetch while they run, by addresses of their own.");
    Ok(())
}

fn bundle(folder: &Path) -> Result<Vec<Peer>> {
    let mut node = workspace::node();
    node.arg("tests/tools/peers/bundle.mjs").arg(folder);
    node.env("E2E_INSTALLED", workspace::target().join("installed"));
    let listing = output(&mut node, "the packages come from npm's registry")?;
    serde_json::from_str(&listing).context("bundle.mjs did not print a list")
}
