//! See `odin_fuzz::target::packed_data_set`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::packed_data_set::run(input));
