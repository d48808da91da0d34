//! Any bytes as an ONNX file.

/// Runs the target on one input.
pub fn run(bytes: &[u8]) {
    crate::check::onnx(bytes);
}
