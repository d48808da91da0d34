//! See `odin_fuzz::target::score_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::score_file::run(input));
