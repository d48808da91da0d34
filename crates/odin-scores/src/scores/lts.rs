//! LTS: the energy of logits that the features scale.

use super::logits::doubles;
use super::shaping::kept_features;
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::numeric::{largest, log_sum_exp};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::tensor::Writer;

const PRUNED: &str = "lts.pruned";

/// Scaled logits.
#[derive(Debug)]
pub(super) struct Lts {
    classes: usize,
    features: usize,
    pruned: f64,
}

impl Lts {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let head = fitting.head()?;
        Ok(Self {
            classes: head.classes(),
            features: head.features(),
            pruned: fitting.parameters.lts_pruned,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            lts_pruned: source.reader.number(PRUNED)?,
            ..Parameters::default()
        };
        parameters.check()?;
        let head = source.head()?;
        Ok(Self {
            classes: head.classes(),
            features: head.features(),
            pruned: parameters.lts_pruned,
        })
    }
}

/// `(s₁ / s₂)²` of the sums of all features and of the largest, negative ones as 0; 1 where both
/// sums are 0.
fn factor(features: &[f32], pruned: f64) -> f64 {
    let rectified: Vec<f32> = features.iter().map(|h| h.max(0.0)).collect();
    let largest = largest(&rectified, kept_features(rectified.len(), pruned));
    let all: f64 = doubles(&rectified).sum();
    let rest: f64 = largest.iter().map(|&i| f64::from(rectified[i])).sum();
    if rest == 0.0 {
        1.0
    } else {
        (all / rest).powi(2)
    }
}

impl Score for Lts {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let factor = factor(observation.features, self.pruned);
        log_sum_exp(doubles(observation.logits).map(|z| factor * z))
    }

    fn classes(&self) -> Option<usize> {
        Some(self.classes)
    }

    fn features(&self) -> Option<usize> {
        Some(self.features)
    }

    fn save(&self, writer: &mut Writer) {
        writer.number(PRUNED, self.pruned);
    }
}
