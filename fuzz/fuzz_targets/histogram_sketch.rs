//! See `odin_fuzz::target::histogram_sketch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::histogram_sketch::run(input));
