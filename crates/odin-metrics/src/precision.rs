//! Sums of precisions, from which average precision is computed.

use crate::counts::share;

/// One in fixed point.
const ONE: f64 = (1_u64 << 62) as f64;

/// The sum of the precision at each positive, in fixed point of 2^-62: whole numbers add up to the
/// same in any order, without an error that grows with their number.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PrecisionSum(u128);

impl PrecisionSum {
    /// Adds `positives` positives at whose threshold the precision is `tp / (tp + fp)`.
    pub(crate) fn add(&mut self, positives: u64, tp: u64, fp: u64) {
        self.add_share(positives, share(tp, tp + fp));
    }

    /// Adds `positives` positives of a precision in `[0, 1]`. One that is NaN, as of no positives
    /// and no negatives, counts as 0.
    pub(crate) fn add_share(&mut self, positives: u64, precision: f64) {
        self.0 += u128::from(positives) * u128::from((precision * ONE) as u64);
    }

    /// The sum over the number of all positives: the average precision.
    pub(crate) fn mean(self, positives: u64) -> f64 {
        self.0 as f64 / ONE / positives as f64
    }
}
