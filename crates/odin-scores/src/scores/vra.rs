//! VRA: the energy of the logits of features that are cut off on both sides.

use std::sync::Arc;

use super::logits::doubles;
use super::quantile::quantile;
use super::shaping::{add_column, energy};
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::matrix::Matrix;
use crate::method::Method;
use crate::observation::Observation;
use crate::tensor::Writer;

const LOWER: &str = "vra.lower";
const UPPER: &str = "vra.upper";

/// Features that are 0 below a threshold and clipped above another, each feature with its own.
#[derive(Debug)]
pub(super) struct Vra {
    /// The last layer's weight, transposed: one row a feature.
    columns: Arc<Matrix>,
    lower: Vec<f64>,
    upper: Vec<f64>,
}

impl Vra {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let (summary, parameters) = (fitting.summary()?, fitting.parameters);
        let rows = summary.rows(Method::Vra, parameters)?;
        let shares = [parameters.vra_lower, parameters.vra_upper];
        let quantiles = (1..=summary.features()).map(|feature| {
            let values: Vec<f32> = rows.iter().map(|row| row[feature]).collect();
            shares.map(|share| quantile(&values, share))
        });
        let (lower, upper) = quantiles.map(|[lower, upper]| (lower, upper)).unzip();
        Ok(Self {
            columns: fitting.columns()?,
            lower,
            upper,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let columns = source.columns()?;
        let bounds = |name| source.reader.vector(name, columns.rows());
        Ok(Self {
            lower: bounds(LOWER)?.to_vec(),
            upper: bounds(UPPER)?.to_vec(),
            columns,
        })
    }
}

impl Score for Vra {
    /// `W h' + b = z + Σ w_j (h'_j - h_j)` over the features that are changed.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let mut logits: Vec<f64> = doubles(observation.logits).collect();
        let bounds = self.lower.iter().zip(&self.upper);
        let features = doubles(observation.features).zip(bounds);
        for (column, (feature, (&lower, &upper))) in self.columns.iter_rows().zip(features) {
            let changed = match feature {
                _ if feature < lower => 0.0,
                _ if feature > upper => upper,
                _ => continue,
            };
            add_column(&mut logits, column, changed - feature);
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
        writer.vector(LOWER, &self.lower);
        writer.vector(UPPER, &self.upper);
    }
}
