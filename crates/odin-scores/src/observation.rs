//! What a network says of one image, and the trait of scores computed from it.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// What a network says of one image.
///
/// ```
/// use odin_scores::Observation;
///
/// let observation = Observation::new(&[1.0, 4.0]).with_features(&[0.5, 0.0, 2.0]);
/// assert_eq!(observation.features.len(), 3);
/// assert!(observation.feature_map.is_empty());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Observation<'a> {
    /// The logits, one for each of the C classes.
    pub logits: &'a [f32],
    /// The input of the last linear layer, D values (the penultimate features); empty where no
    /// score [needs](Scorer::needs) it.
    pub features: &'a [f32],
    /// What a global average pooling makes the features of: the values at all positions of the
    /// first of D channels, then those of the second; empty where no score needs it.
    pub feature_map: &'a [f32],
    /// The features of the same image after a [`Shift`]; empty where no score needs them.
    pub shifted_features: &'a [f32],
}

impl<'a> Observation<'a> {
    /// The logits alone.
    pub fn new(logits: &'a [f32]) -> Self {
        Self {
            logits,
            features: &[],
            feature_map: &[],
            shifted_features: &[],
        }
    }

    /// With the input of the last linear layer.
    #[must_use]
    pub fn with_features(self, features: &'a [f32]) -> Self {
        Self { features, ..self }
    }

    /// With what the features are the mean of.
    #[must_use]
    pub fn with_feature_map(self, feature_map: &'a [f32]) -> Self {
        Self {
            feature_map,
            ..self
        }
    }

    /// With the features of the shifted image.
    #[must_use]
    pub fn with_shifted_features(self, shifted_features: &'a [f32]) -> Self {
        Self {
            shifted_features,
            ..self
        }
    }
}

/// How AdaSCALE moves an image: the `share` of its entries (pixels times channels) on which the
/// logit of the predicted class depends least move by `step` along the sign of that logit's
/// gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The share o of the entries that move, above 0 and at most 1; rounded down to whole entries,
    /// but one at least.
    pub share: f64,
    /// How far they move, ε, in the units that the network reads (pixels less the mean, divided by
    /// the standard deviation).
    pub step: f64,
}

/// What a score reads beside the logits.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Needs {
    /// [`Observation::features`].
    pub features: bool,
    /// [`Observation::feature_map`].
    pub feature_map: bool,
    /// [`Observation::shifted_features`], of images that were moved so. It takes a backward and a
    /// second forward pass.
    pub shift: Option<Shift>,
}

impl Needs {
    /// Nothing.
    pub const LOGITS: Self = Self {
        features: false,
        feature_map: false,
        shift: None,
    };

    /// The features.
    pub const FEATURES: Self = Self {
        features: true,
        ..Self::LOGITS
    };

    /// The feature map.
    pub const FEATURE_MAP: Self = Self {
        feature_map: true,
        ..Self::LOGITS
    };

    /// The features, and those of the image after a shift.
    pub fn shifted(shift: Shift) -> Self {
        Self {
            shift: Some(shift),
            ..Self::FEATURES
        }
    }

    /// What both need.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where both need shifted features, of different shifts: there is one
    /// second pass.
    pub fn and(self, other: Self) -> Result<Self, Error> {
        let shift = match (self.shift, other.shift) {
            (Some(own), Some(others)) if own != others => {
                let show = |Shift { share, step }| format!("o = {share}, epsilon = {step}");
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "two scores shift images differently ({}; {}); give them the same o and \
                         epsilon, or compute one of them",
                        show(own),
                        show(others)
                    ),
                ));
            }
            (own, others) => own.or(others),
        };
        Ok(Self {
            features: self.features || other.features,
            feature_map: self.feature_map || other.feature_map,
            shift,
        })
    }
}

/// A score of one image from what the network says of it: one of this crate's ([`Fitted`]) or a
/// user's own.
///
/// [`Fitted`]: crate::Fitted
///
/// ```
/// use odin_scores::{Needs, Observation, Scorer};
///
/// /// The lead of the largest logit over the second largest.
/// #[derive(Debug)]
/// struct Margin;
///
/// impl Scorer for Margin {
///     fn name(&self) -> &str {
///         "margin"
///     }
///
///     fn needs(&self) -> Needs {
///         Needs::LOGITS
///     }
///
///     fn score(&self, observation: &Observation<'_>) -> f64 {
///         let mut logits = observation.logits.to_vec();
///         logits.sort_by(|a, b| b.total_cmp(a));
///         match logits[..] {
///             [first, second, ..] => f64::from(first) - f64::from(second),
///             _ => f64::NAN,
///         }
///     }
/// }
///
/// let observation = Observation::new(&[1.0, 4.0, 1.5]);
/// assert_eq!(Margin.score(&observation), 2.5);
/// ```
pub trait Scorer: fmt::Debug + Send + Sync {
    /// The name as columns and options spell it, such as `max-logit`.
    fn name(&self) -> &str;

    /// What [`score`](Self::score) reads beside the logits. Nothing else is computed, and what is
    /// not needed may be empty.
    fn needs(&self) -> Needs;

    /// The score; **high means in-distribution**. NaN where the observation has none: it does not
    /// fit the network that the score belongs to, or holds values that are not finite.
    fn score(&self, observation: &Observation<'_>) -> f64;

    /// The scores of several images, one for each, as [`score`](Self::score) gives them. A score that
    /// reads much memory reads it once for all of them; others need not have it.
    fn score_batch(&self, observations: &[Observation<'_>]) -> Vec<f64> {
        observations.iter().map(|o| self.score(o)).collect()
    }
}
