//! Any bytes as a checkpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| odin_fuzz::check::checkpoint(bytes));
