//! Reads classifiers from ONNX files, and writes graphs, such as compiled detectors, as ONNX files.
//!
//! Reading a file takes at most about 120 times its size, and 128 MB on top: a message of two
//! bytes becomes a record, and constants may unfold to a few million elements more than the file
//! has. What is computed from constants, and what functions and branches unfold to, is counted
//! before it is made.

mod photo;
mod proto;
mod read;
mod write;

pub use photo::{Kernel, Photo, PhotoStep};
pub use read::{File, Model, ReadOptions, open, open_graph, read, read_graph};
pub use write::{InputType, Labels, OPSET, Typing, write, write_typed};
