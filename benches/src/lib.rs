//! What the measuring programs share.

pub mod model;
pub mod process;
pub mod timing;
