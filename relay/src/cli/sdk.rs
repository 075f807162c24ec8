//! `voxrelay sdk`: which SDK this relay serves, and the hash of each of its files.

use std::process::ExitCode;

use super::{answered, failed};
use crate::server::sdk_files;

pub(super) fn run() -> ExitCode {
    let files = sdk_files();
    if files.is_empty() {
        return failed(
            1,
            &"the SDK was not built into this binary: run `cargo xtask build`, then build the relay again",
        );
    }
    answered(&shown(&files))
}

/// The version, and a line for each file.
fn shown(files: &[(String, String)]) -> String {
    let width = files.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut lines = vec![format!("voxrelay {}", env!("CARGO_PKG_VERSION"))];
    lines.extend(files.iter().map(|(name, integrity)| format!("/sdk/{name:width$}  {integrity}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_a_line_with_its_address_and_its_hash() {
        let files = [("a.js", "sha384-a"), ("long.wasm", "sha384-b")];
        let files = files.map(|(name, hash)| (name.to_owned(), hash.to_owned()));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            shown(&files),
            format!("voxrelay {version}\n/sdk/a.js       sha384-a\n/sdk/long.wasm  sha384-b")
        );
    }
}
