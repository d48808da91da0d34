//! The last linear layer of a network.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::matrix::Matrix;
use crate::numeric::dot;
use crate::training::Training;

/// How far training logits may lie from what the last layer makes of the features, as a share of
/// the magnitudes summed: room for networks that compute in half precision.
const TOLERANCE: f64 = 0.02;
/// So many training images are compared with the last layer.
const IMAGES: u64 = 16;

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

/// Whether the last layer is that of images with so many logits and features; 0 features where they
/// are not known.
pub(crate) fn check_shapes(head: &Head, classes: usize, features: usize) -> Result<(), Error> {
    let shape = |message| Err(Error::new(ErrorKind::Shape, message));
    if head.classes() != classes {
        return shape(format!(
            "the last layer has {} classes, the training logits {classes}",
            head.classes()
        ));
    }
    if features > 0 && head.features() != features {
        return shape(format!(
            "the last layer reads {} features, the training images have {features}",
            head.features()
        ));
    }
    Ok(())
}

/// Whether the logits of the first images are what the last layer makes of the features; `before`
/// have been seen before these.
pub(crate) fn check_match(head: &Head, training: &Training<'_>, before: u64) -> Result<(), Error> {
    check_shapes(head, training.classes(), training.features())?;
    let images = training.feature_rows().zip(training.logit_rows());
    for (image, (features, logits)) in (before..IMAGES).zip(images) {
        let share = head.disagreement(features, logits);
        if share.is_nan() || share > TOLERANCE {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the logits of training image {image} are not weight · features + bias (off by \
                     {:.0} %): are the features the input of the last linear layer, and is its \
                     weight [classes, features]?",
                    100.0 * share
                ),
            ));
        }
    }
    Ok(())
}
