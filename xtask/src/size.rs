//! `cargo xtask size`: what a page downloads.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::workspace;

/// What the script tag makes a browser fetch. The worklets are inside the script.
const SCRIPT_TAG: [&str; 2] = ["voxrelay.js", "voxrelay.wasm"];

/// At most 40 KB brotli, and a KB is 1,000 bytes.
const GOAL_BYTES: usize = 40_000;

#[derive(Serialize)]
struct Report {
    total: Sizes,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    name: String,
    #[serde(flatten)]
    sizes: Sizes,
}

/// Bytes.
#[derive(Clone, Copy, Default, Serialize)]
struct Sizes {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

/// Prints the sizes as a table or as JSON.
pub(crate) fn run(json: bool) -> Result<()> {
    let dist = workspace::path("npm/dist");
    let report = measure(&dist, &SCRIPT_TAG.map(String::from))?;
    if json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    table("script tag", &report);
    let brotli = report.total.brotli;
    let verdict = if brotli <= GOAL_BYTES { "within" } else { "over" };
    println!(
        "goal: at most {GOAL_BYTES} bytes brotli (1 KB = 1,000 bytes): {verdict}, {:.1} KB\n",
        brotli as f64 / 1000.0
    );
    table("ES modules", &measure(&dist, &modules(&dist)?)?);
    println!("gzip -9, brotli 11. Of the ES modules a bundler takes what is imported.");
    Ok(())
}

/// Everything else in `npm/dist` that a browser may fetch.
fn modules(dist: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dist)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let fetched = [".js", ".mjs", ".wasm"].iter().any(|end| name.ends_with(end));
        if fetched && name != SCRIPT_TAG[0] {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn measure(dist: &Path, names: &[String]) -> Result<Report> {
    let mut report = Report { total: Sizes::default(), files: Vec::new() };
    for name in names {
        let content = fs::read(dist.join(name))
            .with_context(|| format!("npm/dist/{name} is missing: run `cargo xtask build`"))?;
        let sizes = Sizes { raw: content.len(), gzip: gzip(&content)?, brotli: brotli(&content)? };
        report.total.raw += sizes.raw;
        report.total.gzip += sizes.gzip;
        report.total.brotli += sizes.brotli;
        report.files.push(File { name: name.clone(), sizes });
    }
    Ok(report)
}

fn gzip(content: &[u8]) -> Result<usize> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?.len())
}

fn brotli(content: &[u8]) -> Result<usize> {
    let mut small = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &content[..], &mut small, &params)?;
    Ok(small.len())
}

fn table(title: &str, report: &Report) {
    println!("{title:<28} {:>9} {:>9} {:>9}", "raw", "gzip", "brotli");
    let rows = report.files.iter().map(|file| (file.name.as_str(), file.sizes));
    for (name, Sizes { raw, gzip, brotli }) in rows.chain([("total", report.total)]) {
        println!("  {name:<26} {raw:>9} {gzip:>9} {brotli:>9}");
    }
}
