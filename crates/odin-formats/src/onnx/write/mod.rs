//! Writes graphs as ONNX files: standard operators of one operator set, weights inside.

mod body;
mod conv_transpose;
mod encoder;
mod file;
mod form;
mod half;
mod names;
mod operators;
#[cfg(test)]
mod tests;
mod weights;

pub use encoder::InputType;
pub use file::{Labels, OPSET, write, write_typed};
pub use half::Typing;
