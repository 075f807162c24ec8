#![no_main]

#[path = "../parsers/frame_header.rs"]
mod frame_header;

libfuzzer_sys::fuzz_target!(|input: &[u8]| frame_header::run(input));
