#![no_main]

#[path = "../parsers/http_body.rs"]
mod http_body;

libfuzzer_sys::fuzz_target!(|input: &[u8]| http_body::run(input));
