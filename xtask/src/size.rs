//! `cargo xtask size`: what a page downloads.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{build, peers, workspace};

/// What a page fetches before the first word can be said, by each way of loading. Each file is fetched once: `worker.js` is Worker, worklet and
/// glue, and by the script tag Worker and worklet are the script itself.
const WAYS: [(&str, &[&str]); 2] = [
    ("script tag", &["voxrelay.js", "voxrelay.wasm"]),
    ("ES modules", &["index.js", "voxrelay.wasm", "worker.js"]),
];

/// All that a page fetches for a call by the element.
const AS_ELEMENT: (&str, &[&str]) =
    ("the element", &["index.js", "later.js", "element.js", "element-call.js", "voxrelay.wasm", "worker.js"]);

/// The most that it may be, by each way: 52 KB brotli, and a KB is 1,000 bytes.
const FIRST_BYTES: usize = 52_000;

/// What the element itself is, with all that it fetches for a call beside the SDK: 8 KB were meant, and what it has come to may not grow unseen.
const ELEMENT_ALONE: (&str, &[&str], usize) =
    ("the element's own files", &["element.js", "element-call.js"], 11_500);

/// The most that a file may be that is fetched later, or by few.
const LATER: [(&str, usize); 7] = [
    ("later.js", 1_000),
    ("react.js", 2_000),
    ("element.js", 8_000),
    ("element-call.js", 3_600),
    ("preflight.js", 5_400),
    ("http.js", 1_200),
    // Most of it are the weights of the network, which is the one of the relay.
    ("voice.wasm", 40_000),
];

/// Compresses what comes in. 11 is what `zlib` does unless told otherwise; the size lets it choose its window.
const BROTLI: &str = "const content = fs.readFileSync(0);
const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants;
const params = { [BROTLI_PARAM_QUALITY]: 11, [BROTLI_PARAM_SIZE_HINT]: content.length };
process.stdout.write(zlib.brotliCompressSync(content, { params }));";

/// The most that each of the other files may be.
const LATER_BYTES: usize = 10_000;

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

/// Builds what there is to measure, and prints the sizes as a table, with the peers' below, or, of the script tag, as JSON.
pub(crate) fn run(json: bool) -> Result<()> {
    build::sdk()?;
    let dist = workspace::path("npm/dist");
    if json {
        let (_, script_tag) = WAYS[0];
        println!("{}", serde_json::to_string(&measure(&dist, script_tag)?)?);
        return Ok(());
    }
    for (way, names) in WAYS {
        table(way, &measure(&dist, names)?);
    }
    println!("gzip -9, brotli 11.");
    for budget in budgets(&dist)? {
        println!("{}", budget.verdict());
    }
    println!();
    for line in ours(&dist)? {
        println!("{line}");
    }
    match peers::lines() {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(error) => println!("  peers: NOT MEASURED, {error:#}"),
    }
    Ok(())
}

/// What a page fetches to make a call, by each way of loading, with the peers' below. It fails if one of these is not measured.
pub(crate) fn beside_peers() -> Result<Vec<String>> {
    Ok([ours(&workspace::path("npm/dist"))?, peers::lines()?].concat())
}

/// What a page fetches to make a call, by each way of loading, below a heading.
fn ours(dist: &Path) -> Result<Vec<String>> {
    let mut lines = vec![peers::line("what a page fetches to make a call", "brotli")];
    for (way, names) in WAYS.into_iter().chain([AS_ELEMENT]) {
        let bytes = measure(dist, names)?.total.brotli;
        lines.push(peers::line(&format!("  voxrelay, {way}"), bytes));
    }
    Ok(lines)
}

/// Measures what is built against the budgets: what there is to say, and how many are exceeded.
pub(crate) fn check() -> Result<(Vec<String>, usize)> {
    let budgets = budgets(&workspace::path("npm/dist"))?;
    let over = budgets.iter().filter(|budget| !budget.holds()).count();
    Ok((budgets.iter().map(Budget::verdict).collect(), over))
}

/// What is fetched together, and the most that it may be.
struct Budget {
    what: String,
    bytes: usize,
    most: usize,
}

impl Budget {
    fn holds(&self) -> bool {
        self.bytes <= self.most
    }

    fn verdict(&self) -> String {
        let Budget { what, bytes, most } = self;
        let verdict = if self.holds() { "within" } else { "OVER" };
        format!("{what}: {bytes} bytes brotli, {verdict} its budget of {most}")
    }
}

/// One budget for each way of loading, one for the element's files together, and one for each file that is fetched later.
fn budgets(dist: &Path) -> Result<Vec<Budget>> {
    let mut budgets = Vec::new();
    for (way, names) in WAYS {
        let bytes = measure(dist, names)?.total.brotli;
        budgets.push(Budget { what: way.to_owned(), bytes, most: FIRST_BYTES });
    }
    let (what, names, most) = ELEMENT_ALONE;
    let bytes = measure(dist, names)?.total.brotli;
    budgets.push(Budget { what: what.to_owned(), bytes, most });
    for name in fetched(dist)? {
        if !WAYS.iter().any(|(_, names)| names.contains(&name.as_str())) {
            let bytes = measure(dist, &[&name])?.total.brotli;
            let own = LATER.iter().find(|(later, _)| *later == name);
            let most = own.map_or(LATER_BYTES, |(_, most)| *most);
            budgets.push(Budget { what: format!("{name}, later"), bytes, most });
        }
    }
    Ok(budgets)
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

fn measure(dist: &Path, names: &[&str]) -> Result<Report> {
    let mut report = Report { total: Sizes::default(), files: Vec::new() };
    for name in names {
        let content = fs::read(dist.join(name))
            .with_context(|| format!("npm/dist/{name} is missing: run `cargo xtask build`"))?;
        let sizes =
            Sizes { raw: content.len(), gzip: gzip(&content)?.len(), brotli: brotli(&content)?.len() };
        report.total.raw += sizes.raw;
        report.total.gzip += sizes.gzip;
        report.total.brotli += sizes.brotli;
        report.files.push(File { name: (*name).to_owned(), sizes });
    }
    Ok(report)
}

/// `gzip -9`.
pub(crate) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

/// Brotli 11 as Node has it, which is the library that servers use.
pub(crate) fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    let mut node = workspace::node();
    node.args(["-e", BROTLI]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().context("cannot run node")?;
    // It reads everything before it writes anything.
    node.stdin.take().context("node takes no input")?.write_all(content)?;
    let small = node.wait_with_output()?;
    ensure!(small.status.success(), "node could not compress it");
    Ok(small.stdout)
}

fn table(title: &str, report: &Report) {
    println!("{title:<28} {:>9} {:>9} {:>9}", "raw", "gzip", "brotli");
    let rows = report.files.iter().map(|file| (file.name.as_str(), file.sizes));
    for (name, Sizes { raw, gzip, brotli }) in rows.chain([("total", report.total)]) {
        println!("  {name:<26} {raw:>9} {gzip:>9} {brotli:>9}");
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of built files, each of so many bytes that do not get smaller.
    fn dist(name: &str, files: &[(&str, usize)]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("voxrelay-size-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files is there");
        for (name, bytes) in files {
            let mut state = 1_u32;
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            let content: Vec<u8> = noise.take(*bytes).collect();
            fs::write(folder.join(name), content).expect("a file can be written there");
        }
        folder
    }

    /// Which budgets are exceeded.
    fn over(name: &str, files: &[(&str, usize)]) -> Vec<String> {
        let folder = dist(name, files);
        let budgets = budgets(&folder).expect("all files are there");
        fs::remove_dir_all(&folder).expect("it was made here");
        budgets.into_iter().filter(|budget| !budget.holds()).map(|budget| budget.what).collect()
    }

    #[test]
    fn each_way_of_loading_has_the_whole_budget_and_each_later_file_one_of_its_own() {
        let files = |wasm, worker, later| {
            [
                ("index.js", 1_000),
                ("voxrelay.js", 1_000),
                ("voxrelay.wasm", wasm),
                ("worker.js", worker),
                ("element.js", 7_900),
                ("element-call.js", 3_400),
                ("else.js", later),
                ("index.d.ts", 90_000),
            ]
        };
        assert_eq!(over("small", &files(40_000, 10_000, 9_000)), Vec::<String>::new());
        assert_eq!(over("worker", &files(40_000, 12_000, 9_000)), ["ES modules"]);
        assert_eq!(over("wasm", &files(52_000, 10_000, 9_000)), ["script tag", "ES modules"]);
        assert_eq!(over("later", &files(40_000, 10_000, 11_000)), ["else.js, later"]);
        let react = [files(40_000, 10_000, 9_000).as_slice(), &[("react.js", 2_100)]].concat();
        assert_eq!(over("react", &react), ["react.js, later"]);
        let element = |card, call| {
            let both = [("element.js", card), ("element-call.js", call)];
            [files(40_000, 10_000, 9_000).as_slice(), &both].concat()
        };
        assert_eq!(over("card", &element(8_100, 3_200)), ["element.js, later"]);
        assert_eq!(over("call", &element(7_500, 3_700)), ["element-call.js, later"]);
        assert_eq!(over("together", &element(7_950, 3_550)), ["the element's own files"]);
    }
}
