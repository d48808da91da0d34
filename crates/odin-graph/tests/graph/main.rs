//! The graph: shapes, costs, passes, gradients, the ODIN transform and its direction, AdaSCALE's shift,
//! the search for the last layer and its feature map, and what is known of signs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod activation_shift;
mod cost;
mod detector;
mod direction;
mod feature_map;
mod gradients;
mod head;
mod idle_rows;
mod infer;
mod odin;
mod passes;
mod sign;
