//! The `odin` command as a user meets it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod advice;
mod calibrated;
mod cli;
mod drift;
mod frozen;
#[cfg(feature = "gpu")]
mod gpu;
mod messages;
mod metrics;
#[cfg(unix)]
mod outputs;
mod photos;
mod precision;
mod report;
mod runs;
#[cfg(feature = "serve")]
mod serve;
mod sets;
mod signals;
#[cfg(unix)]
mod terminal;
