//! The exact metrics, with ties handled as ties.

use crate::counts::{Counts, share};
use crate::metrics::Metrics;

/// A threshold δ as places in the two sorted sides: the number of scores `< δ`.
#[derive(Debug, Clone, Copy)]
struct Threshold {
    in_below: usize,
    out_below: usize,
}

/// Every threshold that matters: each distinct score of the pooled sides in ascending order, and
/// one above them all.
#[derive(Debug)]
pub(crate) struct ExactPlan {
    thresholds: Vec<Threshold>,
}

impl ExactPlan {
    /// From the two sides, each in ascending order and not empty.
    pub(crate) fn new(in_scores: &[f64], out_scores: &[f64]) -> Self {
        let mut thresholds = Vec::with_capacity(in_scores.len() + out_scores.len() + 1);
        let (mut in_below, mut out_below) = (0, 0);
        loop {
            thresholds.push(Threshold {
                in_below,
                out_below,
            });
            let next = match (in_scores.get(in_below), out_scores.get(out_below)) {
                (Some(a), Some(b)) => a.min(*b),
                (Some(score), None) | (None, Some(score)) => *score,
                (None, None) => return Self { thresholds },
            };
            in_below += leading(&in_scores[in_below..], |score| score == next);
            out_below += leading(&out_scores[out_below..], |score| score == next);
        }
    }

    pub(crate) fn metrics(&self, counts: &Counts) -> Metrics {
        Metrics {
            fpr_at_95_tpr: self.fpr_at_95_tpr(counts),
            detection_error: self.detection_error(counts),
            auroc: self.auroc(counts),
            aupr_in: self.aupr_in(counts),
            aupr_out: self.aupr_out(counts),
        }
    }

    /// FPR falls with δ, so the smallest belongs to the largest δ with TPR >= 0.95.
    pub(crate) fn fpr_at_95_tpr(&self, counts: &Counts) -> f64 {
        let after = self
            .thresholds
            .partition_point(|t| counts.in_scores.share_from(t.in_below) >= 0.95);
        // The lowest threshold has TPR 1, so `after` is at least 1.
        counts
            .out_scores
            .share_from(self.thresholds[after - 1].out_below)
    }

    /// `min over δ of (misses / n_in + false positives / n_out) / 2`, compared in integers over
    /// the common denominator.
    pub(crate) fn detection_error(&self, counts: &Counts) -> f64 {
        let (n_in, n_out) = (counts.in_scores.total(), counts.out_scores.total());
        let errors = self.thresholds.iter().map(|t| {
            let misses = u128::from(counts.in_scores.below(t.in_below));
            let false_positives = u128::from(counts.out_scores.from(t.out_below));
            misses * u128::from(n_out) + false_positives * u128::from(n_in)
        });
        let smallest = errors.min().unwrap_or_default();
        smallest as f64 / (2.0 * pairs(counts))
    }

    /// The trapezoids under the ROC curve, which count each tied pair one half.
    pub(crate) fn auroc(&self, counts: &Counts) -> f64 {
        let twice_the_wins: u128 = self
            .positives(counts)
            .zip(self.positives(counts).skip(1))
            .map(|((tp, fp), (next_tp, next_fp))| {
                u128::from(fp - next_fp) * u128::from(tp + next_tp)
            })
            .sum();
        twice_the_wins as f64 / (2.0 * pairs(counts))
    }

    pub(crate) fn aupr_in(&self, counts: &Counts) -> f64 {
        average_precision(self.positives(counts).rev(), counts.in_scores.total())
    }

    pub(crate) fn aupr_out(&self, counts: &Counts) -> f64 {
        let negatives = self.thresholds.iter().map(|t| {
            (
                counts.out_scores.below(t.out_below),
                counts.in_scores.below(t.in_below),
            )
        });
        average_precision(negatives, counts.out_scores.total())
    }

    /// (true positives, false positives) at each threshold, falling.
    fn positives(&self, counts: &Counts) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.thresholds.iter().map(|t| {
            (
                counts.in_scores.from(t.in_below),
                counts.out_scores.from(t.out_below),
            )
        })
    }
}

/// `Σ (recall - previous recall) · precision` over (true positives, false positives) that rise
/// from the strictest threshold to the loosest.
fn average_precision(points: impl Iterator<Item = (u64, u64)>, positives: u64) -> f64 {
    let mut previous = 0;
    let mut sum = 0.0;
    for (tp, fp) in points {
        if tp > previous {
            sum += (tp - previous) as f64 * share(tp, tp + fp);
            previous = tp;
        }
    }
    sum / positives as f64
}

fn pairs(counts: &Counts) -> f64 {
    counts.in_scores.total() as f64 * counts.out_scores.total() as f64
}

/// Length of the longest prefix all of whose scores satisfy `condition`.
pub(crate) fn leading(scores: &[f64], condition: impl Fn(f64) -> bool) -> usize {
    scores.iter().take_while(|score| condition(**score)).count()
}
