//! The logits and features of one image, and the trait of scores computed from them.

use std::fmt;

/// What a network says of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation<'a> {
    /// The logits, one for each of the C classes.
    pub logits: &'a [f32],
    /// The input of the last linear layer, D values (the penultimate features); empty where no
    /// score [needs](Scorer::needs_features) it.
    pub features: &'a [f32],
}

/// A score of one image from what the network says of it: one of this crate's ([`Fitted`]) or a
/// user's own.
///
/// [`Fitted`]: crate::Fitted
///
/// ```
/// use odin_scores::{Observation, Scorer};
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
///     fn needs_features(&self) -> bool {
///         false
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
/// let observation = Observation { logits: &[1.0, 4.0, 1.5], features: &[] };
/// assert_eq!(Margin.score(&observation), 2.5);
/// ```
pub trait Scorer: fmt::Debug + Send + Sync {
    /// The name as columns and options spell it, such as `max-logit`.
    fn name(&self) -> &str;

    /// Whether [`score`](Self::score) reads [`Observation::features`].
    fn needs_features(&self) -> bool;

    /// The score; **high means in-distribution**. NaN where the observation has none: it does not
    /// fit the network that the score belongs to, or holds values that are not finite.
    fn score(&self, observation: &Observation<'_>) -> f64;
}
