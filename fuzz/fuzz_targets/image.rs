//! See `odin_fuzz::target::image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::image::run(input));
