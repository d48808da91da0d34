//! The scores against independent implementations, what must hold of them, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
mod errors;
mod fixtures;
mod properties;
mod summary;
