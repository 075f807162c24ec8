//! Takes out of a bound module what a page never needs: long names, and what its glue does for older browsers than the SDK's.
//!
//! wasm-bindgen names each import after its JavaScript function and a hash, once in the module and once in the glue: about 100 names of 50
//! bytes that do not compress. Nobody but these two files ever says them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walrus::Module;

/// The name under which the glue hands its functions over.
const MODULE: &str = "w";

/// What is cut out of the glue: from one text to another, which stays. Every browser since 2023 has `encodeInto`; `initSync` is called once, with an
/// object that has a compiled module. The texts that the engine takes are few and short, so that a way of their own for those of ASCII alone gains
/// nothing, and they are never passed without a way to grow. Engine and closures are freed by whoever made them, so nothing has to be registered
/// for when they are collected, and nobody disposes of what is the SDK's own.
const CUTS: [(&str, &str); 15] = [
    ("if (Symbol.dispose) ", "\n"),
    ("        EngineFinalization.", "\n"),
    ("const EngineFinalization = ", "\n\nfunction addToExternrefTable0"),
    ("CLOSURE_DTORS.", "\n"),
    ("const CLOSURE_DTORS = ", "\n\nfunction "),
    ("if (!('encodeInto' in cachedTextEncoder)) {", "let WASM_VECTOR_LEN"),
    ("if (realloc === undefined) {", "let len = arg.length"),
    (
        "\n        } else {\n            console.warn('using deprecated parameters for `initSync()`",
        "\n\n    const imports",
    ),
    ("    if (module !== undefined) {", "            ({module} = module)"),
    ("    if (!(module instanceof WebAssembly.Module)) {", "    const instance = "),
    ("    wasmModule = module;\n", "    wasm.__wbindgen_start();"),
    ("    __destroy_into_raw() {", "    free() {"),
    ("    const mem = getUint8ArrayMemory0();\n", "    let offset = 0;"),
    ("    for (; offset < len; offset++) {", "    if (offset !== len) {"),
    ("        if (offset !== 0) {", "        ptr = realloc("),
];

/// What the glue says at length, and the same shorter: memory that has grown has another buffer than before, what an object is an instance of can
/// be asked of every object, an engine is freed in one place, and what is the glue's own may have short names.
const SHORTER: [(&str, &str); 9] = [
    (
        "cachedDataViewMemory0 === null || cachedDataViewMemory0.buffer.detached === true || \
         (cachedDataViewMemory0.buffer.detached === undefined && \
         cachedDataViewMemory0.buffer !== wasm.memory.buffer)",
        "cachedDataViewMemory0?.buffer !== wasm.memory.buffer",
    ),
    ("let result;\n            try {\n                result =", "const ret ="),
    (
        ";\n            } catch (_) {\n                result = false;\n            }\n            const ret = result;",
        ";",
    ),
    ("this.__destroy_into_raw();", "this.__wbg_ptr;\n        this.__wbg_ptr = 0;"),
    ("this.__wbg_ptr", "this.ptr"),
    ("\n\n        return this;", ""),
    ("        __proto__: null,\n", ""),
    ("ptr / 1", "ptr"),
    ("._wbg_cb_unref", ".unref"),
];

/// Renames every import and export of the module at `wasm`, and the same names in its `glue`, and cuts the glue.
pub(crate) fn module(wasm: &Path, glue: &Path) -> Result<()> {
    let mut module = Module::from_file(wasm).context("the bound module cannot be read")?;
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
    let text = CUTS.iter().try_fold(text, |text, (from, to)| cut(&text, from, to))?;
    let text = SHORTER.iter().try_fold(text, |text, (long, short)| shorter(&text, long, short))?;
    fs::write(glue, replace(&text, &short)?)?;
    module.emit_wasm_file(wasm)
}

/// Takes out each part of the glue that begins with `from`, up to the `to` that follows.
fn cut(glue: &str, from: &str, to: &str) -> Result<String> {
    let mut parts = glue.split(from);
    let mut rest = parts.next().unwrap_or_default().to_owned();
    if rest.len() == glue.len() {
        bail!("`{from}` is not in the glue: wasm-bindgen writes it differently now");
    }
    for part in parts {
        let end = part.find(to).with_context(|| format!("`{from}` does not end with `{to}` in the glue"))?;
        rest.push_str(&part[end..]);
    }
    Ok(rest)
}

/// Says each `long` part of the glue in a `short` way.
fn shorter(glue: &str, long: &str, short: &str) -> Result<String> {
    if !glue.contains(long) {
        bail!("`{long}` is not in the glue: wasm-bindgen writes it differently now");
    }
    Ok(glue.replace(long, short))
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

    #[test]
    fn every_part_that_is_not_needed_is_cut_out_and_one_that_is_missing_is_told() {
        assert_eq!(cut("a OLD x NEW b OLD NEW c", "OLD", "NEW").expect("both end"), "a NEW b NEW c");
        assert!(cut("a NEW b", "OLD", "NEW").is_err());
        assert!(cut("a OLD b", "OLD", "NEW").is_err());
    }

    #[test]
    fn every_part_that_is_said_at_length_is_said_shorter_and_one_that_is_missing_is_told() {
        assert_eq!(shorter("a LONG b LONG", "LONG", "S").expect("it is there"), "a S b S");
        assert!(shorter("a b", "LONG", "S").is_err());
    }
}
