//! KL matching: divergences from the mean softmax of each class.

use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::numeric::{dot_f64, softmax};
use crate::observation::Observation;
use crate::tensor::Writer;

const TYPICAL: &str = "kl-matching.log_typical";

/// The logarithm of the mean softmax of each class that is predicted for a training image.
#[derive(Debug)]
pub(super) struct KlMatching {
    classes: usize,
    /// One row of `classes` for each such class.
    log_typical: Vec<f64>,
}

impl KlMatching {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let summary = fitting.summary()?;
        let log_typical = summary
            .typical()
            .iter()
            .flat_map(|sum| {
                let total: f64 = sum.iter().sum(); // the number of images, up to rounding
                sum.iter()
                    .map(move |s| (s / total).max(f64::MIN_POSITIVE).ln())
            })
            .collect();
        Ok(Self {
            classes: summary.classes(),
            log_typical,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let (classes, rows) = source.reader.rows(TYPICAL)?;
        Ok(Self {
            classes,
            log_typical: rows.to_vec(),
        })
    }
}

impl Score for KlMatching {
    /// `KL(p ‖ d) = Σ p log p - Σ p log d`.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let p = softmax(observation.logits, 1.0);
        let negative_entropy: f64 = p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum();
        let nearest = self
            .log_typical
            .chunks_exact(self.classes)
            .map(|log_d| dot_f64(&p, log_d))
            .fold(f64::NEG_INFINITY, f64::max);
        nearest - negative_entropy
    }

    fn classes(&self) -> Option<usize> {
        Some(self.classes)
    }

    fn save(&self, writer: &mut Writer) {
        writer.rows(TYPICAL, self.classes, &self.log_typical);
    }
}
