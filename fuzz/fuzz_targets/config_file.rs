#![no_main]

#[path = "../parsers/config_file.rs"]
mod config_file;

libfuzzer_sys::fuzz_target!(|input: &[u8]| config_file::run(input));
