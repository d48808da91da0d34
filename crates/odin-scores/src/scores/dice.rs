//! DICE: the energy of the logits of a last layer without the weights that contribute least.

use super::logits::doubles;
use super::quantile::quantile;
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::matrix::Matrix;
use crate::numeric::{dot, log_sum_exp};
use crate::observation::Observation;
use crate::tensor::Writer;

const WEIGHT: &str = "dice.weight";

/// The last layer with its weights of little contribution at 0.
#[derive(Debug)]
pub(super) struct Dice {
    weight: Matrix,
    bias: Vec<f32>,
}

impl Dice {
    /// Keeps the weights whose contribution, weight times mean feature, is above the quantile.
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let (head, mean) = (fitting.head()?, fitting.mean()?);
        let rows = head.weight().iter_rows();
        let contributions: Vec<f64> = rows
            .flat_map(|row| doubles(row).zip(mean.iter()).map(|(w, h)| w * h))
            .collect();
        let threshold = quantile(&contributions, fitting.parameters.dice_pruned);
        let weights = head.weight().values().iter().zip(&contributions);
        let kept = weights.map(|(&weight, &contribution)| {
            if contribution > threshold {
                weight
            } else {
                0.0
            }
        });
        Ok(Self {
            weight: Matrix::new(head.features(), kept.collect()),
            bias: head.bias().to_vec(),
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let (head, weight) = (source.head()?, source.reader.matrix(WEIGHT)?);
        let (classes, features) = (head.classes(), head.features());
        if (weight.rows(), weight.columns()) != (classes, features) {
            let expected = format!("{classes} rows of {features} values");
            return Err(source.reader.wrong(WEIGHT, &expected));
        }
        Ok(Self {
            weight,
            bias: head.bias().to_vec(),
        })
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
        writer.matrix(WEIGHT, &self.weight);
    }
}
