//! Compiles detectors to ONNX, runs compiled ones, and compares the two.

mod agreement;
mod compile;
mod compiled;

pub use agreement::Agreement;
pub use compile::{CompileOptions, IMAGES, compile};
pub use compiled::{CompiledDetector, CompiledScore};
