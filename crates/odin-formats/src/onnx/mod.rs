//! ONNX files: classifiers in, detectors out.

mod proto;
mod read;
mod write;

pub use read::{Model, ReadOptions, open, open_graph, read, read_graph};
pub use write::{InputType, Labels, OPSET, write};
