//! A WAV file with speech.

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(file: &[u8]) {
    let path = std::env::temp_dir().join(format!("voxrelay-fuzz-{}.wav", std::process::id()));
    // A file that is emptied and written again is written through to the disk by some file systems; a new one is not.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, file).expect("a folder for temporary files");
    let _ = relay::client::read_speech(&path);
}
