//! The readers of checkpoints and ONNX files, the zoo, and the writer of ONNX files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod checkpoints;
mod common;
mod onnx_cases;
mod onnx_read;
mod onnx_robust;
mod onnx_write;
mod refdata;
mod zoo;
