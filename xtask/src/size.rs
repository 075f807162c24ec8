//! `cargo xtask size`: what a page downloads.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{build, workspace};

/// What the script tag makes a browser fetch: Worker and worklet are the script itself.
const SCRIPT_TAG: [&str; 2] = ["voxrelay.js", "voxrelay.wasm"];

/// What a page fetches before the first word can be said, by the script tag and by npm each: at most 52 KB brotli, and a KB is 1,000 bytes.
const GOAL_BYTES: usize = 52_000;

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

/// Builds what there is to measure, and prints the sizes as a table or as JSON.
pub(crate) fn run(json: bool) -> Result<()> {
    build::sdk()?;
    let dist = workspace::path("npm/dist");
    let report = measure(&dist, &SCRIPT_TAG.map(String::from))?;
    if json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    table("script tag", &report);
    judge(&report);
    let modules: Vec<String> = fetched(&dist)?.into_iter().filter(|name| name != SCRIPT_TAG[0]).collect();
    let report = measure(&dist, &modules)?;
    table("ES modules", &report);
    judge(&report);
    println!(
        "gzip -9, brotli 11. Each of the ES modules' files is fetched once: worker.js is Worker and worklet."
    );
    Ok(())
}

/// Says whether it is as small as it has to be.
fn judge(report: &Report) {
    let brotli = report.total.brotli;
    let verdict = if brotli <= GOAL_BYTES { "within" } else { "over" };
    println!(
        "goal: at most {GOAL_BYTES} bytes brotli (1 KB = 1,000 bytes): {verdict}, {:.1} KB\n",
        brotli as f64 / 1000.0
    );
}

/// The files in `npm/dist` that a browser may fetch.
pub(crate) fn fetched(dist: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dist).context("npm/dist is missing: run `cargo xtask build`")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".js") || name.ends_with(".wasm") {
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
        let sizes =
            Sizes { raw: content.len(), gzip: gzip(&content)?.len(), brotli: brotli(&content)?.len() };
        report.total.raw += sizes.raw;
        report.total.gzip += sizes.gzip;
        report.total.brotli += sizes.brotli;
        report.files.push(File { name: name.clone(), sizes });
    }
    Ok(report)
}

/// `gzip -9`.
pub(crate) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

/// Brotli 11.
pub(crate) fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    let mut small = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &content[..], &mut small, &params)?;
    Ok(small)
}

fn table(title: &str, report: &Report) {
    println!("{title:<28} {:>9} {:>9} {:>9}", "raw", "gzip", "brotli");
    let rows = report.files.iter().map(|file| (file.name.as_str(), file.sizes));
    for (name, Sizes { raw, gzip, brotli }) in rows.chain([("total", report.total)]) {
        println!("  {name:<26} {raw:>9} {gzip:>9} {brotli:>9}");
    }
}
