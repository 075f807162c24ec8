#![no_main]

#[path = "../parsers/access_token.rs"]
mod access_token;

libfuzzer_sys::fuzz_target!(|input: &[u8]| access_token::run(input));
