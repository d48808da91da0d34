//! A classifier and all of ODIN in one ONNX file, and such a file run as it is.

mod agreement;
mod compile;
mod compiled;

pub use agreement::Agreement;
pub use compile::{CompileOptions, IMAGES, compile};
pub use compiled::{CompiledDetector, CompiledScore};
