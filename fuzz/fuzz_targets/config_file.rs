//! A configuration file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::Config;

fuzz_target!(|toml: &str| {
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
});
