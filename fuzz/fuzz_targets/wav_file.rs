#![no_main]

#[path = "../parsers/wav_file.rs"]
mod wav_file;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wav_file::run(input));
