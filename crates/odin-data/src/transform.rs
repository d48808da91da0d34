//! What is done to images before a model sees them.

mod crop;
mod parse;
mod pipeline;
mod resize;
mod steps;

pub use pipeline::Transform;
pub use steps::{Filter, Size, Step};
