//! Takes out of a bound module what a page never needs: long names, and the words of panics and the places in the source that they name.
//!
//! A panic is a trap without a message either way, since no hook prints it and the build aborts; but what would have composed the message
//! would be downloaded.
//!
//! wasm-bindgen names each import after its JavaScript function and a hash, once in the module and once in the glue: about 100 names of 50
//! bytes that do not compress. Nobody but these two files ever says them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walrus::{FunctionBuilder, FunctionKind, Module};

/// The name under which the glue hands its functions over.
const MODULE: &str = "w";

/// Parts of the names of functions that only compose the message of a panic.
const PANICS: [&str; 11] = [
    "panicking::",
    "::panic_",
    "panic_handler",
    "rust_panic",
    "slice_index_fail",
    "slice_error_fail",
    "unwrap_failed",
    "expect_failed",
    "len_mismatch_fail",
    "raw_vec::handle_error",
    "raw_vec::capacity_overflow",
];

/// How the paths of sources begin, and end.
const SOURCES: [&str; 6] = ["/rustc/", "sdk-wasm/src/", "protocol/src/", "audio/src/", "js-sys-", "web-sys-"];
const END: &str = ".rs";

/// Makes panics traps, and renames every import and export of the module at `wasm` and the same names in its `glue`. The names of
/// functions have to be there still.
pub(crate) fn module(wasm: &Path, glue: &Path) -> Result<()> {
    let mut module = Module::from_file(wasm).context("the bound module cannot be read")?;
    if trap_panics(&mut module) == 0 {
        bail!(
            "no function that composes panics was found by name: the module was stripped too early, or Rust names them differently now"
        );
    }
    let segments: Vec<_> = module.data.iter().map(walrus::Data::id).collect();
    segments.into_iter().for_each(|id| blank_paths(&mut module.data.get_mut(id).value));
    walrus::passes::gc::run(&mut module);
    let mut short = HashMap::new();
    for (number, import) in module.imports.iter_mut().enumerate() {
        let name = format!("i{}", base36(number));
        short.insert(std::mem::replace(&mut import.name, name.clone()), name);
        short.insert(std::mem::replace(&mut import.module, MODULE.into()), MODULE.into());
    }
    for (number, export) in module.exports.iter_mut().enumerate() {
        // The glue finds these two by name in ways of its own.
        if !matches!(export.name.as_str(), "memory" | "__wbindgen_start") {
            let name = format!("e{}", base36(number));
            short.insert(std::mem::replace(&mut export.name, name.clone()), name);
        }
    }
    let text = fs::read_to_string(glue)?;
    let text = replace(&text, &short)?;
    fs::write(glue, text)?;
    module.emit_wasm_file(wasm)
}

/// Empties every function that composes the message of a panic, down to the trap. Returns how many there were.
fn trap_panics(module: &mut Module) -> usize {
    let composes = |name: &str| {
        let name = without_hashes(name);
        PANICS.iter().any(|part| name.contains(part))
    };
    let found: Vec<_> = module
        .funcs
        .iter()
        .filter(|function| matches!(function.kind, FunctionKind::Local(_)))
        .filter(|function| function.name.as_deref().is_some_and(composes))
        .map(|function| (function.id(), function.ty()))
        .collect();
    for (id, kind) in &found {
        let kind = module.types.get(*kind);
        let (params, results) = (kind.params().to_vec(), kind.results().to_vec());
        let mut builder = FunctionBuilder::new(&mut module.types, &params, &results);
        builder.func_body().unreachable();
        let arguments = params.iter().map(|param| module.locals.add(*param)).collect();
        module.funcs.get_mut(*id).kind = FunctionKind::Local(builder.local_func(arguments));
    }
    found.len()
}

/// Blanks the paths of sources, which only panics would say.
fn blank_paths(data: &mut [u8]) {
    let is_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let ends = data.windows(END.len()).enumerate().filter(|(_, part)| *part == END.as_bytes());
    for end in ends.map(|(at, _)| at + END.len()).collect::<Vec<_>>() {
        let run = data[..end].iter().rev().take_while(|byte| is_path(byte)).count();
        let path = &mut data[end - run..end];
        let root = |root: &&str| path.windows(root.len()).position(|part| part == root.as_bytes());
        if let Some(start) = SOURCES.iter().filter_map(root).min() {
            path[start..].fill(0);
        }
    }
}

/// `core[5c930]::panicking` is `core::panicking`.
fn without_hashes(name: &str) -> String {
    let mut depth = 0;
    let mut plain = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    plain
}

/// Replaces names where they are properties: keys of the object of imports, and members of `wasm`.
fn replace(glue: &str, short: &HashMap<String, String>) -> Result<String> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '/');
    let (mut out, mut rest, mut found) = (String::with_capacity(glue.len()), glue, 0);
    while let Some(start) = rest.find(|c| is_name(c) || c == '.') {
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        // `./file.js` is one word, `wasm.name.get` three with dots between them.
        let end = if after.starts_with("./") { after.find('"') } else { after.find(|c| !is_name(c)) };
        let word = &after[..end.unwrap_or(after.len()).max(1)];
        let is_member = out.ends_with("wasm.");
        // A class of the glue may have the name of an export: only members of `wasm` and import keys are meant.
        let is_key = ["__wbg_", "__wbindgen_", "./"].iter().any(|start| word.starts_with(start));
        match short.get(word).filter(|_| is_member || is_key) {
            Some(name) => {
                out.push_str(name);
                found += 1;
            }
            None => out.push_str(word),
        }
        rest = &after[word.len()..];
    }
    out.push_str(rest);
    if found < short.len() / 2 {
        bail!(
            "only {found} of {} names were found in the glue: wasm-bindgen writes it differently now",
            short.len()
        );
    }
    Ok(out)
}

fn base36(number: usize) -> String {
    let digit = |value: usize| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[value % 36]);
    if number < 36 { digit(number).into() } else { format!("{}{}", base36(number / 36), digit(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_without_hashes() {
        assert_eq!(without_hashes("<core[c59]::panicking>::panic_fmt"), "<core::panicking>::panic_fmt");
    }

    #[test]
    fn paths_of_sources_are_blanked_and_nothing_else() {
        let mut data =
            b"\0closed.audio/src/a_b.rs/rustc/5f/core/src/x.rs\0a user's.rs, \x10web-sys-0.3/src/lib.rs\0"
                .to_vec();
        blank_paths(&mut data);
        let left: Vec<&[u8]> = data.split(|byte| *byte == 0).filter(|part| !part.is_empty()).collect();
        assert_eq!(left, [b"closed.".as_slice(), b"a user's.rs, \x10"]);
    }

    #[test]
    fn members_and_import_keys_are_renamed_and_nothing_else() {
        let short: HashMap<String, String> =
            [("__wbg_new_12", "i0"), ("Engine", "e1"), ("engine_tap", "e2"), ("./x_bg.js", "w")]
                .map(|(long, short)| (long.to_owned(), short.to_owned()))
                .into();
        let glue = r#"class Engine { tap() { wasm.engine_tap.get(1); } } const i = { __wbg_new_12: f }; ({ "./x_bg.js": i })"#;
        let expected = r#"class Engine { tap() { wasm.e2.get(1); } } const i = { i0: f }; ({ "w": i })"#;
        assert_eq!(replace(glue, &short).expect("all found"), expected);
        assert!(replace("nothing here", &short).is_err());
    }
}
