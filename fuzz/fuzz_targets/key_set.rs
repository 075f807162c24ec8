#![no_main]

#[path = "../parsers/key_set.rs"]
mod key_set;

libfuzzer_sys::fuzz_target!(|input: &[u8]| key_set::run(input));
