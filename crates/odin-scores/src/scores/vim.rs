//! ViM: the energy minus a virtual logit.

use super::logits::energy;
use super::{Fitting, Restoring, Score};
use crate::error::{Error, ErrorKind};
use crate::linalg::{Covariance, check_features, pseudoinverse_times};
use crate::matrix::Matrix;
use crate::method::Method;
use crate::numeric::{difference, dot};
use crate::observation::Observation;
use crate::tensor::Writer;

const ORIGIN: &str = "vim.origin";
const RESIDUAL: &str = "vim.residual";
const ALPHA: &str = "vim.alpha";

/// The energy less a virtual logit.
#[derive(Debug)]
pub(super) struct Vim {
    /// o = -W⁺ b, where all logits are as near to 0 as they can be.
    origin: Vec<f64>,
    /// The directions orthogonal to the principal ones, one a row.
    residual: Matrix,
    alpha: f64,
}

impl Vim {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let (head, summary) = (fitting.head()?, fitting.summary()?);
        let features = head.features();
        let principal = fitting
            .parameters
            .vim_dimension
            .unwrap_or(principal_dimension(features));
        if !(1..features).contains(&principal) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{principal} principal directions of {features} features; from 1 to D - 1 are possible"
                ),
            ));
        }
        let mut origin = pseudoinverse_times(head.weight(), head.bias())?;
        for value in &mut origin {
            *value = -*value;
        }
        check_features(features)?;
        let rows = summary.rows(Method::Vim, fitting.parameters)?;
        let images: Vec<&[f32]> = rows.iter().map(|row| &row[1..]).collect();
        let covariance = match summary.spread() {
            None => Covariance::about(&origin, &images)?,
            Some(spread) => {
                let products = spread.total(&[summary.images()], &origin);
                Covariance::of_products(products, summary.images())
            }
        };
        let residual = covariance.residual(principal)?;
        let logits: f64 = rows.iter().map(|row| f64::from(row[0])).sum();
        let norms: f64 = images
            .iter()
            .map(|features| residual_norm(&residual, &origin, features))
            .sum();
        Ok(Self {
            alpha: logits / norms,
            origin,
            residual,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let residual = source.reader.matrix(RESIDUAL)?;
        Ok(Self {
            origin: source.reader.vector(ORIGIN, residual.columns())?.to_vec(),
            alpha: source.reader.number(ALPHA)?,
            residual,
        })
    }
}

/// The authors' rule.
fn principal_dimension(features: usize) -> usize {
    match features {
        2048.. => 1000,
        768.. => 512,
        _ => features / 2,
    }
}

fn residual_norm(residual: &Matrix, origin: &[f64], features: &[f32]) -> f64 {
    let centred = difference(features, origin);
    residual
        .iter_rows()
        .map(|direction| dot(direction, &centred).powi(2))
        .sum::<f64>()
        .sqrt()
}

impl Score for Vim {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let norm = residual_norm(&self.residual, &self.origin, observation.features);
        energy(observation.logits) - self.alpha * norm
    }

    fn features(&self) -> Option<usize> {
        Some(self.origin.len())
    }

    fn save(&self, writer: &mut Writer) {
        writer.vector(ORIGIN, &self.origin);
        writer.matrix(RESIDUAL, &self.residual);
        writer.number(ALPHA, self.alpha);
    }
}
