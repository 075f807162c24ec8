#![no_main]

#[path = "../parsers/forwarded_for.rs"]
mod forwarded_for;

libfuzzer_sys::fuzz_target!(|input: &[u8]| forwarded_for::run(input));
