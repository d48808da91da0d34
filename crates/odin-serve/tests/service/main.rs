//! The service as its clients meet it, with the detector of the demonstration. Clients of other
//! makes, and what goes over sockets, are in `scripts/serve/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod client;
mod limits;
mod reload;
mod requests;
mod scores;
mod starting;
