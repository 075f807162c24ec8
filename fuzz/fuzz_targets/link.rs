#![no_main]

#[path = "../parsers/link.rs"]
mod link;

libfuzzer_sys::fuzz_target!(|input: &[u8]| link::run(input));
