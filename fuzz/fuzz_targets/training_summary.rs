//! See `odin_fuzz::target::training_summary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::training_summary::run(input));
