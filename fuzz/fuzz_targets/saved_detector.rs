//! See `odin_fuzz::target::saved_detector`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::saved_detector::run(input));
