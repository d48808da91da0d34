//! What the measuring programs share.

pub mod model;
pub mod process;
pub mod run;
pub mod timing;
