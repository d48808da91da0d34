//! Confidence intervals.

/// Probabilities of the lower and the upper end of a 95 % interval.
pub(crate) const TAILS: (f64, f64) = (0.025, 0.975);

/// A 95 % confidence interval, ends included. It is equal-tailed: either end is missed with a
/// probability of about 2.5 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end; of a resampled metric, its 2.5 % quantile.
    pub lower: f64,
    /// The upper end; of a resampled metric, its 97.5 % quantile.
    pub upper: f64,
}
