//! Image transforms that are applied before normalisation: resizing and cropping.

mod crop;
mod parse;
mod pipeline;
mod resize;
mod steps;

pub use pipeline::Transform;
pub use steps::{Filter, Size, Step};
