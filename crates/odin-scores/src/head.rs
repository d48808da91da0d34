//! The last linear layer of a network.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::matrix::Matrix;
use crate::numeric::dot;

/// The last linear layer of a network: logits = weight · features + bias.
///
/// A clone shares the values.
#[derive(Debug, Clone)]
pub struct Head {
    weight: Arc<Matrix>,
    bias: Arc<[f32]>,
}

impl Head {
    /// From the weight, C x D row by row, and the bias of C values, for C classes and D features.
    /// A layer without a bias has one of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for fewer than two classes or where the length of `weight` is not a
    /// multiple of that of `bias`; [`ErrorKind::Invalid`] for a value that is not finite.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>) -> Result<Self, Error> {
        let classes = bias.len();
        if classes < 2 || weight.is_empty() || !weight.len().is_multiple_of(classes) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the last layer has a weight of {} values and a bias of {classes}: expected \
                     [C, D] and [C] for two classes or more",
                    weight.len()
                ),
            ));
        }
        if let Some(value) = weight.iter().chain(&bias).find(|v| !v.is_finite()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the last layer holds the value {value}; all must be finite"),
            ));
        }
        Ok(Self {
            weight: Arc::new(Matrix::new(weight.len() / classes, weight)),
            bias: bias.into(),
        })
    }

    /// Number of classes, C.
    pub fn classes(&self) -> usize {
        self.weight.rows()
    }

    /// Number of features, D.
    pub fn features(&self) -> usize {
        self.weight.columns()
    }

    pub(crate) fn weight(&self) -> &Matrix {
        &self.weight
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// How far, at most, `logits` are from what this layer makes of `features`, as a share of the
    /// magnitudes that are summed.
    pub(crate) fn disagreement(&self, features: &[f32], logits: &[f32]) -> f64 {
        let magnitudes: Vec<f32> = features.iter().map(|h| h.abs()).collect();
        let rows = self.weight.iter_rows().zip(self.bias.iter());
        rows.zip(logits)
            .map(|((row, &bias), &logit)| {
                let expected = dot(row, features) + f64::from(bias);
                let absolute: Vec<f32> = row.iter().map(|w| w.abs()).collect();
                let scale = dot(&absolute, &magnitudes) + f64::from(bias.abs());
                (f64::from(logit) - expected).abs() / (scale + f64::from(f32::MIN_POSITIVE))
            })
            .fold(0.0, f64::max)
    }
}
