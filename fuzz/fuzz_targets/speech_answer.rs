#![no_main]

#[path = "../parsers/speech_answer.rs"]
mod speech_answer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| speech_answer::run(input));
