#![no_main]

#[path = "../parsers/client.rs"]
mod client;

libfuzzer_sys::fuzz_target!(|input: &[u8]| client::run(input));
