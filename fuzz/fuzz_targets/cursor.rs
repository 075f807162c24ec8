#![no_main]

#[path = "../parsers/cursor.rs"]
mod cursor;

libfuzzer_sys::fuzz_target!(|input: &[u8]| cursor::run(input));
