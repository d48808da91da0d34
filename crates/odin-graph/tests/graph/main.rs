//! The graph: shapes, costs, passes, gradients, the ODIN transform and its direction, AdaSCALE's shift, and the
//! search for the last layer and its feature map.

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
mod infer;
mod odin;
mod passes;
