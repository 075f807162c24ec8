//! `cargo xtask build`: Rust → WebAssembly → JavaScript glue → `npm/dist`, and the module of voice activity, which needs no glue.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use sha2::{Digest as _, Sha384};
use walrus::Module;
use wasm_bindgen_cli_support::Bindgen;

use crate::prerequisites;
use crate::shorten;
use crate::size;
use crate::stamp::Stamp;
use crate::step::{run, seconds, step, up_to_date};
use crate::workspace::{self, WASM};

/// Name of the generated module: `voxrelay_wasm.js`, `voxrelay_wasm_bg.wasm`.
const MODULE: &str = "voxrelay_wasm";

/// How wasm-opt shrinks the module, by what its brotli is then. Brotli finds more that is alike in small functions than in large ones, and when
/// what is alike stands together. Nothing lies in the first KB: a stack that reaches there has overflowed.
const SHRINKING: [&str; 16] = [
    "--one-caller-inline-max-function-size",
    "20",
    "--always-inline-max-function-size",
    "4",
    "--low-memory-unused",
    "--optimize-instructions",
    "--flatten",
    "--rereloop",
    "-O2",
    "-Oz",
    "-Os",
    "--coalesce-locals-learning",
    "--simplify-locals-nostructure",
    "--coalesce-locals-learning",
    "--reorder-functions-by-name",
    "--reorder-locals",
];

/// What rustc may emit (`.cargo/config.toml`) and wasm-bindgen may add.
const WASM_FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-simd",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// A package from npm of which files lie beside the dashboard, and are inside the relay.
pub(crate) struct Vendored {
    /// Its name at npm.
    pub(crate) package: &'static str,
    /// Its files, each with its name in [`VENDOR`].
    pub(crate) files: &'static [(&'static str, &'static str)],
}

/// Where these files lie.
pub(crate) const VENDOR: &str = "dashboard/vendor";
/// The one of them that no browser fetches.
const LICENCE: &str = "LICENSE.txt";

/// What paints the dashboard's charts.
pub(crate) const VENDORED: [Vendored; 1] = [Vendored {
    package: "uplot",
    files: &[
        ("dist/uPlot.iife.min.js", "uplot.js"),
        ("dist/uPlot.min.css", "uplot.css"),
        ("LICENSE", LICENCE),
    ],
}];

/// Builds everything a page needs.
pub(crate) fn sdk() -> Result<()> {
    let begin = std::time::Instant::now();
    prerequisites::wasm_target()?;
    prerequisites::node()?;
    prerequisites::npm_packages()?;
    let engine = step("compiling the engine to WebAssembly", || compile("sdk-wasm"))?;
    bind(&engine)?;
    let voice = step("compiling voice activity to WebAssembly", || compile("voice-wasm"))?;
    strip(&voice)?;
    bundle()?;
    vendor()?;
    for (name, hash) in hashes(&workspace::path("npm/dist"))? {
        eprintln!("  {name:16}  {hash}");
    }
    eprintln!("The SDK {} is in npm/dist ({}).", env!("CARGO_PKG_VERSION"), seconds(begin.elapsed()));
    Ok(())
}

/// Each file that a browser fetches, with its hash as the attribute `integrity` of a script tag takes it.
pub(crate) fn hashes(dist: &Path) -> Result<Vec<(String, String)>> {
    let mut hashes = Vec::new();
    for name in size::fetched(dist)? {
        let hash = Sha384::digest(fs::read(dist.join(&name))?);
        let hash = format!("sha384-{}", base64::engine::general_purpose::STANDARD.encode(hash));
        hashes.push((name, hash));
    }
    Ok(hashes)
}

/// Compiles a `cdylib` to wasm and returns where it lies.
fn compile(package: &str) -> Result<PathBuf> {
    run(
        // Not stripped yet: wasm-bindgen reads in the module which features it may use, and strips it itself.
        workspace::cargo()
            .args(["build", "--package", package, "--lib", "--target", WASM, "--profile", "wasm"])
            .env("CARGO_PROFILE_WASM_STRIP", "none")
            .arg("--config")
            .arg(short_paths()),
        "the message above says where the Rust code is wrong",
    )?;
    let wasm = workspace::target().join(WASM).join("wasm").join(package.replace('-', "_") + ".wasm");
    if !wasm.exists() {
        bail!("{package} made no .wasm file: give its [lib] crate-type = [\"cdylib\", \"rlib\"]");
    }
    Ok(wasm)
}

/// Panics carry the path of their source: of this machine it must not tell, and a page should not download it.
fn short_paths() -> String {
    let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| {
        format!(
            "{}/.cargo",
            std::env::var("HOME").or_else(|_| std::env::var("USERPROFILE")).unwrap_or_default()
        )
    });
    let sources = fs::read_dir(Path::new(&home).join("registry/src")).into_iter().flatten().flatten();
    let flags: Vec<String> =
        sources.map(|source| format!("'--remap-path-prefix={}/='", source.path().display())).collect();
    format!("target.{WASM}.rustflags=[{}]", flags.join(","))
}

/// Makes the JavaScript glue with wasm-bindgen and shrinks the module with wasm-opt, into `npm/src/wasm`.
fn bind(wasm: &Path) -> Result<()> {
    let folder = workspace::path("npm/src/wasm");
    let bound = folder.join(format!("{MODULE}_bg.wasm"));
    let inputs = ["package-lock.json", "xtask/src/build.rs", "xtask/src/shorten.rs"].map(workspace::path);
    let inputs = [vec![wasm.to_path_buf()], inputs.to_vec()].concat();
    let stamp = Stamp::new(
        "bind",
        &inputs,
        &[WASM_FEATURES.concat(), SHRINKING.concat()].concat(),
        std::slice::from_ref(&folder),
    )?;
    if stamp.is_current()? {
        up_to_date("binding to JavaScript, shrinking");
        return Ok(());
    }
    step("binding to JavaScript (wasm-bindgen)", || {
        // The SDK hands the module over itself, so the glue need not guess where it lies.
        Bindgen::new()
            .input_path(wasm)
            .out_name(MODULE)
            .web(true)?
            .typescript(true)
            .omit_default_module_path(true)
            .remove_producers_section(true)
            .generate(&folder)
            .context("wasm-bindgen could not read the module: its version in Cargo.toml must be one for crate and library")?;
        shorten::module(&bound, &folder.join(format!("{MODULE}.js")))
    })?;
    step("shrinking (wasm-opt -Oz)", || shrink(&bound))?;
    stamp.keep()
}

/// Makes `npm/src/voice/voice.wasm`, which exports its one function and imports nothing: of what wasm-bindgen makes beside it, nothing is needed.
fn strip(wasm: &Path) -> Result<()> {
    let folder = workspace::path("npm/src/voice");
    let inputs =
        [wasm.to_path_buf(), workspace::path("package-lock.json"), workspace::path("xtask/src/build.rs")];
    let settings = [WASM_FEATURES.concat(), SHRINKING.concat()].concat();
    let stamp = Stamp::new("voice", &inputs, &settings, std::slice::from_ref(&folder))?;
    if stamp.is_current()? {
        up_to_date("stripping voice activity, shrinking");
        return Ok(());
    }
    step("stripping voice activity, shrinking", || {
        let bound = workspace::cache().join("voice");
        Bindgen::new()
            .input_path(wasm)
            .out_name("voice")
            .web(true)?
            .typescript(false)
            .remove_producers_section(true)
            .generate(&bound)
            .context("wasm-bindgen could not read the module of voice activity")?;
        let mut module = Module::from_file(bound.join("voice_bg.wasm"))?;
        let others: Vec<_> =
            module.exports.iter().filter(|export| export.name != "hear").map(walrus::Export::id).collect();
        for other in others {
            module.exports.delete(other);
        }
        walrus::passes::gc::run(&mut module);
        let imports: Vec<&str> = module.imports.iter().map(|import| import.name.as_str()).collect();
        if !imports.is_empty() {
            bail!("voice-wasm imports {}: the engine gives it nothing", imports.join(", "));
        }
        fs::create_dir_all(&folder)?;
        let bound = folder.join("voice.wasm");
        module.emit_wasm_file(&bound)?;
        shrink(&bound)
    })?;
    stamp.keep()
}

/// Shrinks the module in its place with wasm-opt.
fn shrink(bound: &Path) -> Result<()> {
    let before = fs::metadata(bound)?.len();
    let small = workspace::cache().join("shrunk.wasm");
    fs::create_dir_all(workspace::cache())?;
    run(
        workspace::node()
            .arg("node_modules/binaryen/bin/wasm-opt")
            .args(SHRINKING)
            .args(WASM_FEATURES)
            .args(["--strip-debug", "--strip-producers", "--strip-target-features"])
            .arg("-o")
            .arg(&small)
            .arg(bound),
        "if it names a missing feature, add it to WASM_FEATURES in xtask/src/build.rs",
    )?;
    fs::copy(&small, bound)?;
    eprintln!("  {before} → {} bytes", fs::metadata(bound)?.len());
    Ok(())
}

/// Bundles and types the package, into `npm/dist`.
fn bundle() -> Result<()> {
    let script = workspace::path("npm/build.mjs");
    if !script.exists() {
        bail!("npm/build.mjs is missing: it makes npm/dist from npm/src");
    }
    let sources = ["npm/src", "npm/build.mjs", "npm/package.json", "npm/tsconfig.json", "package-lock.json"];
    let dist = workspace::path("npm/dist");
    let stamp = Stamp::new("bundle", &sources.map(workspace::path), "", std::slice::from_ref(&dist))?;
    let title = "bundling the package (esbuild, tsc)";
    if stamp.is_current()? {
        up_to_date(title);
        return Ok(());
    }
    step(title, || {
        run(workspace::node().arg(&script), "the TypeScript in npm/src does not compile")?;
        compress(&dist)
    })?;
    stamp.keep()
}

/// Puts the files of others beside the dashboard, with their licences: the relay serves them, and no page loads them from elsewhere.
fn vendor() -> Result<()> {
    let to = workspace::path(VENDOR);
    fs::create_dir_all(&to)?;
    for Vendored { package, files } in VENDORED {
        let from = workspace::path("node_modules").join(package);
        for (source, name) in files {
            let content = fs::read(from.join(source)).with_context(|| {
                format!("{package} lacks {source}: run `npm ci` in the root of the workspace")
            })?;
            fs::write(to.join(name), &content)?;
            if *name != LICENCE {
                fs::write(to.join(format!("{name}.gz")), size::gzip(&content)?)?;
                fs::write(to.join(format!("{name}.br")), size::brotli(&content)?)?;
            }
        }
    }
    Ok(())
}

/// Puts each file that a browser fetches beside itself once more, as gzip and as brotli: a relay serves those.
fn compress(dist: &Path) -> Result<()> {
    for name in size::fetched(dist)? {
        let content = fs::read(dist.join(&name))?;
        fs::write(dist.join(format!("{name}.gz")), size::gzip(&content)?)?;
        fs::write(dist.join(format!("{name}.br")), size::brotli(&content)?)?;
    }
    Ok(())
}
