//! From where images lie to what a network takes: sets opened through the model, parts of them,
//! reading ahead, normalisation.

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
