//! See `odin_fuzz::target::serve_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::serve_request::run(input));
