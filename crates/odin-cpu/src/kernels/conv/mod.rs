//! Convolutions and their adjoints.

pub(crate) mod axis;
pub(crate) mod conv1x1;
pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod im2col;
pub(crate) mod op;
mod rows;
pub(crate) mod sliding_window;
pub(crate) mod winograd;
