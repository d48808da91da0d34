//! The data of an evaluation's report: model, sets, metrics.

use crate::network::Network;
use crate::precision::ComputedIn;
use odin::{Evaluation, MetricsMode, NoAccuracy};
use std::time::Duration;

/// One in-distribution set, told from one or more out-of-distribution sets by one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The model as the user named it.
    pub model: String,
    /// What is known of it.
    pub network: Network,
    /// The in-distribution set.
    pub in_dataset: String,
    /// What is known of it.
    pub in_set: SetInfo,
    /// The share of its images that the model classifies right, or why that is not known.
    pub accuracy: Result<f64, NoAccuracy>,
    /// The temperature T.
    pub temperature: f64,
    /// The precision.
    pub computed_in: ComputedIn,
    /// Where the network ran, such as `cpu`.
    pub device: String,
    /// The program that ran it and its version.
    pub engine: String,
    /// How long it took to be prepared, where that builds an engine.
    pub built_in: Option<Duration>,
    /// The definition of the metrics.
    pub mode: MetricsMode,
    /// The seed of noise, crops and resampling.
    pub seed: u64,
    /// Why scores are not to be trusted.
    pub warnings: Vec<String>,
    /// One entry for each out-of-distribution set.
    pub results: Vec<Comparison>,
}

/// A set as it lies there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetInfo {
    /// Where it lies, unless it is generated.
    pub path: Option<String>,
    /// The number of its images, whether they take part or not.
    pub images: usize,
    /// How many it should have, if that is another number.
    pub expected_images: Option<u64>,
    /// How many of those that should take part were left out because they do not decode.
    pub skipped: usize,
}

/// The result for one out-of-distribution set.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The out-of-distribution set.
    pub out_dataset: String,
    /// What is known of it.
    pub out_set: SetInfo,
    /// Whether it was compared with the first in-distribution images only, as many as it has.
    pub in_set_shortened: bool,
    /// The magnitude ε.
    pub magnitude: f64,
    /// What was measured.
    pub evaluation: Evaluation,
}
