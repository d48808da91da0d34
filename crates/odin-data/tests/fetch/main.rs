//! Downloads against a server on the loopback interface, and unpacking.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod download;
mod present;
mod server;
mod unpack;
