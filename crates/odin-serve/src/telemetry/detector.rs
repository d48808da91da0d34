//! What is counted of a detector.

use super::window::{Drifted, Window};
use odin::Verdict;
use odin_metrics::ReferenceScores;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The buckets of a score are bounded by so many quantiles of the calibration's scores.
const QUANTILES: usize = 20;

/// What is counted of a detector since it was opened.
#[derive(Debug)]
pub(crate) struct DetectorMetrics {
    pub(crate) known: Counter,
    pub(crate) rejected: Counter,
    pub(crate) failed: Counter,
    /// Of the score that decides.
    pub(crate) scores: Histogram,
    pub(crate) batches: Histogram,
    pub(crate) waits: Histogram,
    window: Mutex<Window>,
    calibration: Vec<f64>,
}

impl DetectorMetrics {
    pub(crate) fn new(reference: &ReferenceScores, window: usize) -> Self {
        let calibration = reference.sample();
        Self {
            known: Counter::default(),
            rejected: Counter::default(),
            failed: Counter::default(),
            scores: Histogram::new(quantiles(&calibration)),
            batches: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            waits: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            window: Mutex::new(Window::new(window)),
            calibration,
        }
    }

    /// An image waited so long for its batch.
    pub(crate) fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }

    /// A batch of so many images was judged.
    pub(crate) fn batch(&self, images: usize) {
        self.batches.observe(images as f64);
    }

    pub(crate) fn judged(&self, judged: &Result<Verdict, String>) {
        let Ok(verdict) = judged else {
            self.failed.inc();
            return;
        };
        let decision = verdict.decision;
        match decision.is_in_distribution {
            true => self.known.inc(),
            false => self.rejected.inc(),
        };
        self.scores.observe(decision.score);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.add(decision.score, decision.is_in_distribution);
    }

    /// The last scores compared with those of the calibration; `None` before the first.
    pub(crate) fn drifted(&self) -> Option<Drifted> {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.drifted(&self.calibration)
    }
}

/// Rising bounds of buckets: in-distribution images fill all of them alike.
fn quantiles(ascending: &[f64]) -> Vec<f64> {
    let at = |i: usize| ascending.get(i * ascending.len() / QUANTILES).copied();
    let mut bounds: Vec<f64> = (0..QUANTILES).filter_map(at).collect();
    bounds.extend(ascending.last());
    bounds.dedup();
    bounds
}
