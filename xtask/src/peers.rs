//! What a page downloads of others' packages, beside what it downloads of this one.

use std::fmt::Display;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
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

/// What stands in a line of the table, and its bytes, brotli.
pub(crate) fn line(what: &str, bytes: impl Display) -> String {
    format!("{what:<52} {bytes:>9}")
}

/// A line for each of the peers' packages. They are installed for that, each at the version that its lock file names, which needs a network.
pub(crate) fn lines() -> Result<Vec<String>> {
    let folder = workspace::target().join("peers");
    let peers = step("bundling the peers", || bundle(&folder))?;
    ensure!(!peers.is_empty(), "bundle.mjs knows of no peer");
    if let Some(empty) = peers.iter().find(|peer| peer.brotli == 0) {
        bail!("nothing was bundled of {}", empty.name);
    }
    let peers =
        peers.iter().map(|Peer { name, version, brotli }| line(&format!("  {name} {version}"), brotli));
    let end = "Peers without what they fetch while they run, by addresses of their own.".to_owned();
    Ok(peers.chain([end]).collect())
}

fn bundle(folder: &Path) -> Result<Vec<Peer>> {
    let mut node = workspace::node();
    node.arg("tests/tools/peers/bundle.mjs").arg(folder);
    node.env("E2E_INSTALLED", workspace::target().join("installed"));
    let listing = output(&mut node, "the packages come from npm's registry")?;
    serde_json::from_str(&listing).context("bundle.mjs did not print a list")
}
