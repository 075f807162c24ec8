#![no_main]

#[path = "../parsers/client_message.rs"]
mod client_message;

libfuzzer_sys::fuzz_target!(|input: &[u8]| client_message::run(input));
