//! See `odin_fuzz::target::checkpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::checkpoint::run(input));
