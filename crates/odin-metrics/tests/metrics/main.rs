//! Metrics, thresholds, intervals and drift against other programs, definitions and simulations.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bootstrap;
mod calibration;
mod curves;
mod drift;
mod exact;
mod histogram_sketch;
mod paper;
mod reference_cases;
mod reference_scores;
