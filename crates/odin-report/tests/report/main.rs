//! What is printed and written of evaluations: tables, JSON, plots, files of scores.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod commands;
mod page;
mod plot;
mod report;
mod score_file;
