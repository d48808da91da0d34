//! What is measured of the service while it runs, and the sliding window of the drift statistic.

mod detector;
mod requests;
mod window;

pub(crate) use detector::DetectorMetrics;
pub(crate) use requests::{RequestLabels, RequestMetrics};
pub(crate) use window::Drifted;
