//! See `odin_fuzz::target::zoo`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::zoo::run(input));
