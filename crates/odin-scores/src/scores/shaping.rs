//! Activation shaping (ReAct, ASH, SCALE): the energy of the logits of changed features. The logits
//! of the unchanged features are updated rather than computed again, or the kept features alone are
//! summed.

use std::sync::Arc;

use super::logits::doubles;
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::matrix::Matrix;
use crate::numeric::{largest, log_sum_exp};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::tensor::Writer;

/// `logits += factor · column`.
pub(super) fn add_column(logits: &mut [f64], column: &[f32], factor: f64) {
    for (logit, &weight) in logits.iter_mut().zip(column) {
        *logit += factor * f64::from(weight);
    }
}

pub(super) fn energy(logits: &[f64]) -> f64 {
    log_sum_exp(logits.iter().copied())
}

/// How many of D features [ASH](crate::Method::Ash) keeps, and [SCALE](crate::Method::Scale) and
/// [LTS](crate::Method::Lts) sum, where the share `pruned` is left out: the rest, rounded to even,
/// and one at least.
pub fn kept_features(features: usize, pruned: f64) -> usize {
    (features - (features as f64 * pruned).round_ties_even() as usize).max(1)
}

/// `exp(s₁ / s₂)`; 1 where both sums are 0.
pub(super) fn sharpening(all: f64, kept: f64) -> f64 {
    if all == 0.0 && kept == 0.0 {
        1.0
    } else {
        (all / kept).exp()
    }
}

/// Clipped features.
#[derive(Debug)]
pub(super) struct React {
    /// The last layer's weight, transposed: one row a feature.
    columns: Arc<Matrix>,
    threshold: f64,
}

const THRESHOLD: &str = "react.threshold";

impl React {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            threshold: {
                let levels = fitting.summary()?.activations();
                let share = fitting.parameters.react_quantile;
                quantile(levels.count(), |rank| levels.ranked(rank), share)
            },
            columns: fitting.columns()?,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        Ok(Self {
            threshold: source.reader.number(THRESHOLD)?,
            columns: source.columns()?,
        })
    }
}

impl Score for React {
    /// `W min(h, c) + b = z - Σ w_j (h_j - c)` over the features above c.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let mut logits: Vec<f64> = doubles(observation.logits).collect();
        for (column, feature) in self.columns.iter_rows().zip(doubles(observation.features)) {
            if feature > self.threshold {
                add_column(&mut logits, column, self.threshold - feature);
            }
        }
        energy(&logits)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.columns.columns())
    }

    fn features(&self) -> Option<usize> {
        Some(self.columns.rows())
    }

    fn save(&self, writer: &mut Writer) {
        writer.number(THRESHOLD, self.threshold);
    }
}

/// The quantile of so many activations, of which `ranked` gives that of a rank from 0; linear
/// between neighbours like NumPy's.
pub(super) fn quantile(activations: u64, ranked: impl Fn(u64) -> f32, share: f64) -> f64 {
    let position = share * activations.saturating_sub(1) as f64;
    let lower = position.floor();
    let [a, b] = [lower, position.ceil()].map(|rank| f64::from(ranked(rank as u64)));
    a + (b - a) * (position - lower)
}

/// Pruned and sharpened features.
#[derive(Debug)]
pub(super) struct Ash {
    /// The last layer's weight, transposed: one row a feature.
    columns: Arc<Matrix>,
    bias: Vec<f32>,
    pruned: f64,
}

impl Ash {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            columns: fitting.columns()?,
            bias: fitting.head()?.bias().to_vec(),
            pruned: fitting.parameters.ash_pruned,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            ash_pruned: source.reader.number("ash.pruned")?,
            ..Parameters::default()
        };
        parameters.check()?;
        Ok(Self {
            columns: source.columns()?,
            bias: source.head()?.bias().to_vec(),
            pruned: parameters.ash_pruned,
        })
    }
}

impl Score for Ash {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features = observation.features;
        let largest = largest(features, kept_features(features.len(), self.pruned));
        let all: f64 = doubles(features).sum();
        let rest: f64 = largest.iter().map(|&i| f64::from(features[i])).sum();
        let factor = sharpening(all, rest);
        let mut logits: Vec<f64> = doubles(&self.bias).collect();
        for i in largest {
            add_column(
                &mut logits,
                self.columns.row(i),
                factor * f64::from(features[i]),
            );
        }
        energy(&logits)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.columns.rows())
    }

    fn save(&self, writer: &mut Writer) {
        writer.number("ash.pruned", self.pruned);
    }
}

/// Scaled features.
#[derive(Debug)]
pub(super) struct Scale {
    bias: Vec<f32>,
    features: usize,
    pruned: f64,
}

impl Scale {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            bias: fitting.head()?.bias().to_vec(),
            features: fitting.head()?.features(),
            pruned: fitting.parameters.scale_pruned,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            scale_pruned: source.reader.number("scale.pruned")?,
            ..Parameters::default()
        };
        parameters.check()?;
        Ok(Self {
            bias: source.head()?.bias().to_vec(),
            features: source.head()?.features(),
            pruned: parameters.scale_pruned,
        })
    }
}

impl Score for Scale {
    /// `W (s h) + b = s (z - b) + b`.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features = observation.features;
        let largest = largest(features, kept_features(features.len(), self.pruned));
        let all: f64 = doubles(features).sum();
        let rest: f64 = largest.iter().map(|&i| f64::from(features[i])).sum();
        let factor = sharpening(all, rest);
        let logits = doubles(observation.logits).zip(doubles(&self.bias));
        log_sum_exp(logits.map(|(z, b)| factor * (z - b) + b))
    }

    fn classes(&self) -> Option<usize> {
        Some(self.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.features)
    }

    fn save(&self, writer: &mut Writer) {
        writer.number("scale.pruned", self.pruned);
    }
}
