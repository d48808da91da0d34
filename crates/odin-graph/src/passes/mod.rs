//! Transformations of portable graphs that keep what they compute.

mod dead_code;
mod fold_batch_norm;
mod rebuild;

pub use dead_code::eliminate_dead_code;
pub use fold_batch_norm::fold_batch_norm;
