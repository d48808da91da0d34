//! See `odin_fuzz::target::registry`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::registry::run(input));
