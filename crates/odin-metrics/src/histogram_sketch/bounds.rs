//! Bounds of the metrics of scores of which only the bins are known.

use super::Bin;
use crate::counts::share;
use crate::metrics::Metrics;
use crate::precision::PrecisionSum;
use crate::threshold::fewest;

/// More than the relative and the absolute error of a rounded average precision.
const ROUNDING: (f64, f64) = (1e-15, 1e-18);

/// The ends of the range in which a value lies for certain, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

impl Bounds {
    pub(super) fn of_shares(lower: u64, upper: u64, total: u64) -> Self {
        Self {
            lower: share(lower, total),
            upper: share(upper, total),
        }
    }

    /// Moved apart by what rounding may have done, within [0, 1].
    fn of_average_precision(lower: f64, upper: f64) -> Self {
        let (relative, absolute) = ROUNDING;
        Self {
            lower: (lower * (1.0 - relative) - absolute).max(0.0),
            upper: (upper * (1.0 + relative) + absolute).min(1.0),
        }
    }
}

/// A bound of an average precision, from either end.
#[derive(Debug, Default)]
struct PrecisionBounds {
    lower: PrecisionSum,
    upper: PrecisionSum,
}

impl PrecisionBounds {
    /// Of a bin with so many positives and negatives, after `tp` and `fp` of higher thresholds.
    ///
    /// The precision at a positive is highest when the positives of its bin are tied before all
    /// negatives, and lowest when they come one by one after all of them: `j`-th then has
    /// `f(j) = (tp + j) / (tp + j + fp + negatives)`. `f` is concave, so its mean over all `j` is
    /// at least that of its ends.
    fn add(&mut self, positives: u64, negatives: u64, tp: u64, fp: u64) {
        if positives == 0 {
            return;
        }
        let last = tp + positives;
        let after = |tp: u64| share(tp, tp + fp + negatives);
        let lowest = 0.5 * (after(tp + 1) + after(last));
        self.lower.add_share(positives, lowest);
        self.upper.add(positives, last, fp);
    }

    fn mean(self, positives: u64) -> Bounds {
        Bounds::of_average_precision(self.lower.mean(positives), self.upper.mean(positives))
    }
}

/// Sums over the bins in ascending order.
pub(super) struct BoundSums {
    total: Bin,
    below: Bin,
    /// The fewest in-scores that are 95 % of them.
    kept: u64,
    /// Out-scores above the bin of the threshold at 95 % TPR, and those in it as well.
    passing_at_95_tpr: (u64, u64),
    /// Detection errors times `2 n_in n_out`.
    smallest_error: (u128, u128),
    /// Pairs in which the in-score is higher, and pairs in one bin.
    wins: u128,
    open_pairs: u128,
    precision_in: PrecisionBounds,
    precision_out: PrecisionBounds,
}

impl BoundSums {
    pub(super) fn new(n_in: u64, n_out: u64) -> Self {
        let pairs = u128::from(n_in) * u128::from(n_out);
        Self {
            total: Bin {
                in_count: n_in,
                out_count: n_out,
            },
            below: Bin::default(),
            kept: fewest(n_in, 0.95),
            passing_at_95_tpr: (0, n_out),
            smallest_error: (pairs, pairs),
            wins: 0,
            open_pairs: 0,
            precision_in: PrecisionBounds::default(),
            precision_out: PrecisionBounds::default(),
        }
    }

    pub(super) fn add(&mut self, bin: Bin) {
        let below = self.below;
        self.below.add(bin);
        let from = self.above(below);
        let above = self.above(self.below);
        if from.in_count >= self.kept {
            self.passing_at_95_tpr = (above.out_count, from.out_count);
        }
        // No threshold in the bin is better than one between all its out- and all its in-scores,
        // and its lower end is a threshold.
        let (least, most) = self.smallest_error;
        self.smallest_error = (
            least.min(self.error(below.in_count, above.out_count)),
            most.min(self.error(below.in_count, from.out_count)),
        );
        self.wins += u128::from(bin.in_count) * u128::from(below.out_count);
        self.open_pairs += u128::from(bin.in_count) * u128::from(bin.out_count);
        let (ins, outs) = (bin.in_count, bin.out_count);
        self.precision_in
            .add(ins, outs, above.in_count, above.out_count);
        self.precision_out
            .add(outs, ins, below.out_count, below.in_count);
    }

    /// The scores that are not below.
    fn above(&self, below: Bin) -> Bin {
        Bin {
            in_count: self.total.in_count - below.in_count,
            out_count: self.total.out_count - below.out_count,
        }
    }

    fn error(&self, misses: u64, false_positives: u64) -> u128 {
        u128::from(misses) * u128::from(self.total.out_count)
            + u128::from(false_positives) * u128::from(self.total.in_count)
    }

    pub(super) fn bounds(self) -> Metrics<Bounds> {
        let Bin {
            in_count: n_in,
            out_count: n_out,
        } = self.total;
        let twice_the_pairs = 2.0 * (n_in as f64 * n_out as f64);
        let over_pairs = |lower: u128, upper: u128| Bounds {
            lower: lower as f64 / twice_the_pairs,
            upper: upper as f64 / twice_the_pairs,
        };
        let (passing, passing_at_most) = self.passing_at_95_tpr;
        Metrics {
            fpr_at_95_tpr: Bounds::of_shares(passing, passing_at_most, n_out),
            detection_error: over_pairs(self.smallest_error.0, self.smallest_error.1),
            auroc: over_pairs(2 * self.wins, 2 * (self.wins + self.open_pairs)),
            aupr_in: self.precision_in.mean(n_in),
            aupr_out: self.precision_out.mean(n_out),
        }
    }
}
