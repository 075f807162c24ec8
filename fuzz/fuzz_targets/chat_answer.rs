#![no_main]

#[path = "../parsers/chat_answer.rs"]
mod chat_answer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| chat_answer::run(input));
