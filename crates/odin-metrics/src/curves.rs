//! Curves over all thresholds, with scikit-learn's conventions.

use crate::counts::share;
use crate::levels::Level;

/// Which points of a curve are kept; scikit-learn's `drop_intermediate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Points {
    /// One for each distinct score: `drop_intermediate=False`.
    #[default]
    All,
    /// Without those that are not needed to draw the curve: `drop_intermediate=True`.
    Corners,
}

/// The side that counts as positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// In-distribution, by its scores.
    In,
    /// Out-of-distribution, by the negated scores.
    Out,
}

/// The receiver operating characteristic: TPR and FPR at every threshold, from the highest down.
///
/// The three vectors have one length. The first point is (0, 0) at the threshold +∞, the last
/// (1, 1) at the lowest score. As `sklearn.metrics.roc_curve` gives them, bit for bit.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RocCurve {
    /// Share of the out-scores `>=` the threshold; never falls.
    pub fpr: Vec<f64>,
    /// Share of the in-scores `>=` the threshold; never falls.
    pub tpr: Vec<f64>,
    /// The thresholds, in units of the score, falling.
    pub thresholds: Vec<f64>,
}

/// Precision and recall at every threshold, from the lowest up.
///
/// `precision` and `recall` end with a point (1, 0) that has no threshold, so that they have one
/// entry more than `thresholds`. As `sklearn.metrics.precision_recall_curve` gives them, bit for
/// bit.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct PrecisionRecallCurve {
    /// Share of the positives among what reaches the threshold.
    pub precision: Vec<f64>,
    /// Share of the positives that reach the threshold; never rises.
    pub recall: Vec<f64>,
    /// The thresholds, rising. Where out-of-distribution is positive they are negated scores, as
    /// an input then reaches a threshold iff `-score` does.
    pub thresholds: Vec<f64>,
}

impl RocCurve {
    /// Of levels in descending order whose counts add up to `n_in` and `n_out`; `most` is at least
    /// their number.
    pub(crate) fn new(
        levels: impl Iterator<Item = Level>,
        sizes: (u64, u64),
        most: usize,
        points: Points,
    ) -> Self {
        let step = |level: Level| (level.in_count, level.out_count);
        match points {
            Points::All => Self::of_kept(levels.map(|level| (level, true)), sizes, most),
            Points::Corners => {
                // Between two equal steps a point is on the line from one neighbour to the other.
                let corner = |_, level, after| step(level) != step(after);
                Self::of_kept(marked(levels, corner), sizes, most)
            }
        }
    }

    /// Of levels, each with whether its point is kept.
    fn of_kept(
        levels: impl Iterator<Item = (Level, bool)>,
        (n_in, n_out): (u64, u64),
        most: usize,
    ) -> Self {
        let mut curve = Self::with_capacity(most + 1);
        curve.push(0.0, 0.0, f64::INFINITY);
        let (mut tp, mut fp) = (0, 0);
        for (level, kept) in levels {
            tp += level.in_count;
            fp += level.out_count;
            if kept {
                curve.push(share(fp, n_out), share(tp, n_in), level.score);
            }
        }
        curve.shrink_to_fit();
        curve
    }

    fn with_capacity(points: usize) -> Self {
        Self {
            fpr: Vec::with_capacity(points),
            tpr: Vec::with_capacity(points),
            thresholds: Vec::with_capacity(points),
        }
    }

    fn push(&mut self, fpr: f64, tpr: f64, threshold: f64) {
        self.fpr.push(fpr);
        self.tpr.push(tpr);
        self.thresholds.push(threshold);
    }

    fn shrink_to_fit(&mut self) {
        self.fpr.shrink_to_fit();
        self.tpr.shrink_to_fit();
        self.thresholds.shrink_to_fit();
    }
}

/// A level as the positive side's curve sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labelled {
    threshold: f64,
    positives: u64,
    negatives: u64,
}

impl Labelled {
    pub(crate) fn new(level: Level, positive: Side) -> Self {
        match positive {
            Side::In => Self {
                threshold: level.score,
                positives: level.in_count,
                negatives: level.out_count,
            },
            Side::Out => Self {
                threshold: -level.score,
                positives: level.out_count,
                negatives: level.in_count,
            },
        }
    }
}

impl PrecisionRecallCurve {
    /// Of levels in ascending order of their thresholds whose counts add up to `n_positive` and
    /// `n_negative`; `most` is at least their number.
    pub(crate) fn new(
        levels: impl Iterator<Item = Labelled>,
        sizes: (u64, u64),
        most: usize,
        points: Points,
    ) -> Self {
        match points {
            Points::All => Self::of_kept(levels.map(|level| (level, true)), sizes, most),
            Points::Corners => {
                // Between points of the same recall, on a vertical line, a point adds nothing.
                let corner = |before: Labelled, level: Labelled, _| {
                    before.positives > 0 || level.positives > 0
                };
                Self::of_kept(marked(levels, corner), sizes, most)
            }
        }
    }

    /// Of levels, each with whether its point is kept.
    fn of_kept(
        levels: impl Iterator<Item = (Labelled, bool)>,
        (n_positive, n_negative): (u64, u64),
        most: usize,
    ) -> Self {
        let mut curve = Self::with_capacity(most + 1);
        let (mut tp, mut fp) = (n_positive, n_negative);
        for (level, kept) in levels {
            if kept {
                curve.push(share(tp, tp + fp), share(tp, n_positive));
                curve.thresholds.push(level.threshold);
            }
            tp -= level.positives;
            fp -= level.negatives;
        }
        curve.push(1.0, 0.0);
        curve.shrink_to_fit();
        curve
    }

    fn with_capacity(points: usize) -> Self {
        Self {
            precision: Vec::with_capacity(points),
            recall: Vec::with_capacity(points),
            thresholds: Vec::with_capacity(points),
        }
    }

    fn push(&mut self, precision: f64, recall: f64) {
        self.precision.push(precision);
        self.recall.push(recall);
    }

    fn shrink_to_fit(&mut self) {
        self.precision.shrink_to_fit();
        self.recall.shrink_to_fit();
        self.thresholds.shrink_to_fit();
    }
}

/// Every item with whether it is kept: the first, the last, and those between that are a corner as
/// seen from their neighbours, the one before and the one after.
fn marked<T: Copy>(
    items: impl Iterator<Item = T>,
    corner: impl Fn(T, T, T) -> bool,
) -> impl Iterator<Item = (T, bool)> {
    let mut items = items.peekable();
    let mut before = None;
    std::iter::from_fn(move || {
        let item = items.next()?;
        let kept = match (before.replace(item), items.peek()) {
            (Some(before), Some(after)) => corner(before, item, *after),
            _ => true,
        };
        Some((item, kept))
    })
}
