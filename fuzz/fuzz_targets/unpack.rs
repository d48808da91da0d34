//! See `odin_fuzz::target::unpack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::unpack::run(input));
