//! See `odin_fuzz::target::packed_checkpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::packed_checkpoint::run(input));
