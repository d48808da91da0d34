//! The input of a network: sets opened through the model, subsets, decoding ahead, normalisation.

mod images;
mod parts;
mod pipeline;
mod reading;
mod shard;

pub use images::Images;
pub use parts::stratified_order;
pub use shard::Shard;

pub(crate) use pipeline::InputPipeline;
pub(crate) use reading::{Batches, Reading};
