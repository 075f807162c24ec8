//! A WAV file with speech.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let path = std::env::temp_dir().join(format!("voxrelay-fuzz-{}.wav", std::process::id()));
    // A file that is emptied and written again is written through to the disk by some file systems; a new one is not.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, file).expect("a folder for temporary files");
    let _ = relay::client::read_speech(&path);
});
