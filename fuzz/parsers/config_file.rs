//! A configuration file.

use relay::Config;

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let Ok(toml) = std::str::from_utf8(input) else { return };
    // It may name files, which would be read.
    if toml.contains('/') {
        return;
    }
    let path = std::env::temp_dir().join(format!("voxrelay-fuzz-{}.toml", std::process::id()));
    // A file that is emptied and written again is written through to the disk by some file systems; a new one is not.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, toml).expect("a folder for temporary files");
    if let Err(error) = Config::load(Some(&path), []) {
        assert!(!error.to_string().is_empty());
    }
}
