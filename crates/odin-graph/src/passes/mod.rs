//! Transformations of graphs that preserve their results.

mod bind_input;
mod dead_code;
mod expand_max_pool_grad;
mod fold_batch_norm;
mod fold_constants;
mod fold_paddings;
mod idle_rows;
mod rebuild;

pub use bind_input::bind_input;
pub use dead_code::eliminate_dead_code;
pub use expand_max_pool_grad::expand_max_pool_grad;
pub use fold_batch_norm::fold_batch_norm;
pub use fold_constants::fold_constants;
pub use fold_paddings::fold_paddings;
pub use idle_rows::eliminate_idle_rows;
