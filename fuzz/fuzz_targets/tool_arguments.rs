#![no_main]

#[path = "../parsers/tool_arguments.rs"]
mod tool_arguments;

libfuzzer_sys::fuzz_target!(|input: &[u8]| tool_arguments::run(input));
