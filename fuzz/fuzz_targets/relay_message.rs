#![no_main]

#[path = "../parsers/relay_message.rs"]
mod relay_message;

libfuzzer_sys::fuzz_target!(|input: &[u8]| relay_message::run(input));
