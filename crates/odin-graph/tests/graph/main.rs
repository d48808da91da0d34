//! The graph: shapes, costs, passes, gradients, the ODIN transform, and the search for the last layer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cost;
mod detector;
mod gradients;
mod head;
mod infer;
mod odin;
mod passes;
