#![no_main]

#[path = "../parsers/origin.rs"]
mod origin;

libfuzzer_sys::fuzz_target!(|input: &[u8]| origin::run(input));
