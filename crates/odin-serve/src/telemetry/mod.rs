//! What is measured of the service while it runs: `/metrics`, and the sliding window of the drift
//! statistic.

mod detector;
mod encode;
mod requests;
mod window;

pub(crate) use detector::DetectorMetrics;
pub(crate) use encode::{CONTENT_TYPE, Exposition};
pub(crate) use requests::{RequestLabels, RequestMetrics};
