//! The exact metrics, with ties handled as ties.

use crate::counts::{Counts, share};
use crate::levels::{Level, Levels};
use crate::metrics::Metrics;
use crate::precision::PrecisionSum;
use crate::threshold::fewest;

/// The exact metrics of levels in ascending order, whose counts add up to `n_in` and `n_out`, both
/// at least 1.
///
/// Everything is added up in whole numbers, so that neither the direction nor an order of
/// summation changes a bit.
pub(crate) fn metrics(levels: impl Iterator<Item = (u64, u64)>, n_in: u64, n_out: u64) -> Metrics {
    let mut sums = Sums::new(n_in, n_out);
    for (in_count, out_count) in levels {
        sums.add(in_count, out_count);
    }
    sums.metrics()
}

struct Sums {
    n_in: u64,
    n_out: u64,
    /// The fewest in-scores that are 95 % of them.
    kept: u64,
    /// Counts of the scores below the next level.
    in_below: u64,
    out_below: u64,
    /// Out-scores at and above the highest level that keeps 95 % of the in-scores.
    passing_at_95_tpr: u64,
    /// The smallest detection error times `2 n_in n_out`.
    smallest_error: u128,
    /// Pairs in which the in-score is higher, twice, and tied pairs, once.
    twice_the_wins: u128,
    precision_in: PrecisionSum,
    precision_out: PrecisionSum,
}

impl Sums {
    fn new(n_in: u64, n_out: u64) -> Self {
        Self {
            n_in,
            n_out,
            kept: fewest(n_in, 0.95),
            in_below: 0,
            out_below: 0,
            passing_at_95_tpr: n_out,
            smallest_error: u128::from(n_in) * u128::from(n_out),
            twice_the_wins: 0,
            precision_in: PrecisionSum::default(),
            precision_out: PrecisionSum::default(),
        }
    }

    fn add(&mut self, in_count: u64, out_count: u64) {
        let in_from = self.n_in - self.in_below;
        let out_from = self.n_out - self.out_below;
        if in_from >= self.kept {
            self.passing_at_95_tpr = out_from;
        }
        let error = product(self.in_below, self.n_out) + product(out_from, self.n_in);
        self.smallest_error = self.smallest_error.min(error);
        self.twice_the_wins += product(in_count, 2 * self.out_below + out_count);
        self.precision_in.add(in_count, in_from, out_from);
        self.in_below += in_count;
        self.out_below += out_count;
        self.precision_out
            .add(out_count, self.out_below, self.in_below);
    }

    fn metrics(self) -> Metrics {
        let twice_the_pairs = 2.0 * (self.n_in as f64 * self.n_out as f64);
        Metrics {
            fpr_at_95_tpr: share(self.passing_at_95_tpr, self.n_out),
            detection_error: self.smallest_error as f64 / twice_the_pairs,
            auroc: self.twice_the_wins as f64 / twice_the_pairs,
            aupr_in: self.precision_in.mean(self.n_in),
            aupr_out: self.precision_out.mean(self.n_out),
        }
    }
}

fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

/// The levels as places in the two sorted sides, for counts that change: those of resamples.
#[derive(Debug)]
pub(crate) struct ExactPlan {
    /// One past the last score of each level in the in- and the out-scores.
    ends: Vec<(usize, usize)>,
}

impl ExactPlan {
    /// From the two sides, each in ascending order and not empty.
    pub(crate) fn new(in_scores: &[f64], out_scores: &[f64]) -> Self {
        let end = |end: &mut (usize, usize), level: Level| {
            end.0 += level.in_count as usize;
            end.1 += level.out_count as usize;
            Some(*end)
        };
        Self {
            ends: Levels::new(in_scores, out_scores)
                .scan((0, 0), end)
                .collect(),
        }
    }

    pub(crate) fn metrics(&self, counts: &Counts) -> Metrics {
        let mut below = (0, 0);
        let levels = self.ends.iter().map(|&(in_end, out_end)| {
            let before = below;
            below = (
                counts.in_scores.below(in_end),
                counts.out_scores.below(out_end),
            );
            (below.0 - before.0, below.1 - before.1)
        });
        metrics(levels, counts.in_scores.total(), counts.out_scores.total())
    }
}
