//! DICE: the energy of the logits of a last layer without the weights that contribute least.

use std::sync::Arc;

use super::logits::doubles;
use super::quantile::quantile;
use super::{Fitting, MEAN, Restoring, Score};
use crate::error::Error;
use crate::head::Head;
use crate::matrix::Matrix;
use crate::numeric::{dot, log_sum_exp};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::tensor::Writer;

const PRUNED: &str = "dice.pruned";

/// The last layer with its weights of little contribution at 0.
#[derive(Debug)]
pub(super) struct Dice {
    weight: Matrix,
    bias: Vec<f32>,
    mean: Arc<Vec<f64>>,
    pruned: f64,
}

impl Dice {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let pruned = fitting.parameters.dice_pruned;
        Ok(Self::new(fitting.head()?, fitting.mean()?, pruned))
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            dice_pruned: source.reader.number(PRUNED)?,
            ..Parameters::default()
        };
        parameters.check()?;
        let mean = Arc::new(source.mean()?);
        Ok(Self::new(source.head()?, mean, parameters.dice_pruned))
    }

    /// Keeps the weights whose contribution, weight times mean feature, is above the quantile.
    fn new(head: &Head, mean: Arc<Vec<f64>>, pruned: f64) -> Self {
        let rows = head.weight().iter_rows();
        let contributions: Vec<f64> = rows
            .flat_map(|row| doubles(row).zip(mean.iter()).map(|(w, h)| w * h))
            .collect();
        let threshold = quantile(&contributions, pruned);
        let weights = head.weight().values().iter().zip(&contributions);
        let kept = weights.map(|(&weight, &contribution)| {
            if contribution > threshold {
                weight
            } else {
                0.0
            }
        });
        Self {
            weight: Matrix::new(head.features(), kept.collect()),
            bias: head.bias().to_vec(),
            mean,
            pruned,
        }
    }
}

impl Score for Dice {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let rows = self.weight.iter_rows().zip(doubles(&self.bias));
        log_sum_exp(rows.map(|(row, bias)| dot(row, observation.features) + bias))
    }

    fn classes(&self) -> Option<usize> {
        Some(self.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.weight.columns())
    }

    fn save(&self, writer: &mut Writer) {
        writer.vector(MEAN, &self.mean);
        writer.number(PRUNED, self.pruned);
    }
}
