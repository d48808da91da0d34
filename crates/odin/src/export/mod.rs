//! Compiles detectors to ONNX, runs compiled ones, and compares the two.

mod agreement;
mod compile;
mod compiled;
mod decision;
mod photo;
mod preprocessing;
mod scores;

pub use agreement::{Agreement, ScoreAgreement};
pub use compile::{CompileOptions, IMAGES, compile};
pub use compiled::{CompiledDetector, CompiledScore};
