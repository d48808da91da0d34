//! See `odin_fuzz::target::onnx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| odin_fuzz::target::onnx::run(input));
