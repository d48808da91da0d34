//! The scores of an in- and an out-of-distribution set, from which all metrics are computed.

use crate::bootstrap::Bootstrap;
use crate::counts::Counts;
use crate::curves::{Labelled, Points, PrecisionRecallCurve, RocCurve, Side};
use crate::error::Error;
use crate::exact::{self, ExactPlan};
use crate::interval::Interval;
use crate::levels::Levels;
use crate::metrics::Metrics;
use crate::paper::{PaperMetrics, PaperPlan, PaperProtocol};
use crate::parallel::both;
use crate::sorted::sorted;
use crate::threshold::OperatingPoint;

/// The scores of an in-distribution and an out-of-distribution set, checked and sorted once.
///
/// Every metric of this crate is asked of a value of this type.
#[derive(Debug, Clone)]
pub struct Scores {
    in_scores: Vec<f64>,
    out_scores: Vec<f64>,
}

impl Scores {
    /// Checks and sorts the scores; their order does not matter. Of many scores the two sides are
    /// sorted on two threads.
    ///
    /// # Errors
    /// [`ErrorKind::EmptyScores`](crate::ErrorKind::EmptyScores) when a side has no score, [`ErrorKind::NonFiniteScore`](crate::ErrorKind::NonFiniteScore) when a
    /// score is NaN or infinite; the message names the side and the index.
    pub fn new(in_scores: &[f64], out_scores: &[f64]) -> Result<Self, Error> {
        let (in_scores, out_scores) = both(
            in_scores.len().min(out_scores.len()),
            || sorted("in-distribution", in_scores),
            || sorted("out-of-distribution", out_scores),
        );
        Ok(Self {
            in_scores: in_scores?,
            out_scores: out_scores?,
        })
    }

    /// Number of in-distribution scores.
    pub fn n_in(&self) -> usize {
        self.in_scores.len()
    }

    /// Number of out-of-distribution scores.
    pub fn n_out(&self) -> usize {
        self.out_scores.len()
    }

    /// The exact metrics.
    ///
    /// With `TPR(δ)` = share of in-scores `>= δ` and `FPR(δ)` = share of out-scores `>= δ`:
    /// - FPR at 95 % TPR: smallest `FPR(δ)` over all δ with `TPR(δ) >= 0.95`;
    /// - detection error: smallest `0.5 (1 - TPR(δ)) + 0.5 FPR(δ)`;
    /// - AUROC: probability that an in-score exceeds an out-score, ties count one half;
    /// - AUPR-In, AUPR-Out: average precision from counts. They depend on the ratio of
    ///   [`n_in`](Self::n_in) to [`n_out`](Self::n_out).
    pub fn exact(&self) -> Metrics {
        let levels = self.levels().map(|level| (level.in_count, level.out_count));
        exact::metrics(levels, self.n_in() as u64, self.n_out() as u64)
    }

    /// 95 % intervals of the [`exact`](Self::exact) metrics.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) where the bootstrap was stopped.
    pub fn exact_intervals(&self, bootstrap: &Bootstrap) -> Result<Metrics<Interval>, Error> {
        let plan = self.exact_plan();
        bootstrap.intervals(&self.counts(), |counts| plan.metrics(counts))
    }

    /// The metrics as the authors of the paper computed them; see [`PaperProtocol`].
    pub fn paper(&self, protocol: &PaperProtocol) -> PaperMetrics {
        self.paper_plan(protocol).metrics(&self.counts())
    }

    /// 95 % intervals of the [`paper`](Self::paper) metrics.
    ///
    /// The threshold grid stays that of the original scores. In a resample in which a metric is
    /// undefined, its exact value stands in, as in [`PaperMetrics::values`].
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) where the bootstrap was stopped.
    pub fn paper_intervals(
        &self,
        protocol: &PaperProtocol,
        bootstrap: &Bootstrap,
    ) -> Result<Metrics<Interval>, Error> {
        let plan = self.paper_plan(protocol);
        bootstrap.intervals(&self.counts(), |counts| plan.metrics(counts).values)
    }

    /// The largest threshold that keeps at least the share `tpr` of the in-scores, with its TPR,
    /// FPR, and detection error. At `tpr` = 0.95 this is where the paper's text defines the
    /// detection error (its tables hold the minimum over all thresholds).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTpr`](crate::ErrorKind::InvalidTpr) unless `0 < tpr <= 1`.
    pub fn operating_point(&self, tpr: f64) -> Result<OperatingPoint, Error> {
        OperatingPoint::at_tpr(&self.in_scores, &self.out_scores, tpr)
    }

    /// The smallest in-score δ with `FPR(δ) <= fpr`, with its TPR, FPR, and detection error: the
    /// threshold of the highest TPR under a bound on the FPR.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFpr`](crate::ErrorKind::InvalidFpr) unless `0 <= fpr <= 1`; [`ErrorKind::UnreachableFpr`](crate::ErrorKind::UnreachableFpr) when even
    /// the highest in-score as threshold lets more than the share `fpr` of the out-scores pass.
    pub fn operating_point_at_fpr(&self, fpr: f64) -> Result<OperatingPoint, Error> {
        OperatingPoint::at_fpr(&self.in_scores, &self.out_scores, fpr)
    }

    /// The threshold of the smallest detection error, with its TPR and FPR. That is also the one
    /// of the largest Youden's J, which is `1 - 2` times the detection error.
    ///
    /// δ is an in-score: from any other threshold the next in-score above keeps as many
    /// in-scores and no more out-scores. Of several in-scores with exactly the same error it is
    /// the lowest, which rejects the fewest good inputs.
    pub fn lowest_error(&self) -> OperatingPoint {
        OperatingPoint::lowest_error(&self.in_scores, &self.out_scores)
    }

    /// TPR and FPR at every threshold, or at those that draw the same curve.
    ///
    /// ```
    /// # use odin_metrics::{Points, Scores};
    /// # fn main() -> Result<(), odin_metrics::Error> {
    /// let scores = Scores::new(&[4.0, 3.0, 1.0], &[2.0, 1.0])?;
    /// let curve = scores.roc_curve(Points::All);
    /// assert_eq!(curve.thresholds, [f64::INFINITY, 4.0, 3.0, 2.0, 1.0]);
    /// assert_eq!(curve.fpr, [0.0, 0.0, 0.0, 0.5, 1.0]);
    /// assert_eq!(curve.tpr, [0.0, 1.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn roc_curve(&self, points: Points) -> RocCurve {
        let sizes = (self.n_in() as u64, self.n_out() as u64);
        RocCurve::new(self.levels().rev(), sizes, self.most_levels(), points)
    }

    /// Precision and recall of the positive side at every threshold, or at those that draw the
    /// same curve. The metrics AUPR-In and AUPR-Out are the areas under it as average precision:
    /// each step of recall times the precision at its end.
    ///
    /// ```
    /// # use odin_metrics::{Points, Scores, Side};
    /// # fn main() -> Result<(), odin_metrics::Error> {
    /// let scores = Scores::new(&[4.0, 3.0], &[2.0, 3.0])?;
    /// let of_in = scores.precision_recall_curve(Side::In, Points::All);
    /// assert_eq!(of_in.thresholds, [2.0, 3.0, 4.0]);
    /// assert_eq!(of_in.precision, [0.5, 2.0 / 3.0, 1.0, 1.0]);
    /// assert_eq!(of_in.recall, [1.0, 1.0, 0.5, 0.0]);
    ///
    /// let of_out = scores.precision_recall_curve(Side::Out, Points::All);
    /// assert_eq!(of_out.thresholds, [-4.0, -3.0, -2.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn precision_recall_curve(&self, positive: Side, points: Points) -> PrecisionRecallCurve {
        let (n_in, n_out) = (self.n_in() as u64, self.n_out() as u64);
        let most = self.most_levels();
        let labelled = |level| Labelled::new(level, positive);
        match positive {
            Side::In => {
                let levels = self.levels().map(labelled);
                PrecisionRecallCurve::new(levels, (n_in, n_out), most, points)
            }
            Side::Out => {
                let levels = self.levels().rev().map(labelled);
                PrecisionRecallCurve::new(levels, (n_out, n_in), most, points)
            }
        }
    }

    fn most_levels(&self) -> usize {
        self.n_in() + self.n_out()
    }

    fn levels(&self) -> Levels<'_> {
        Levels::new(&self.in_scores, &self.out_scores)
    }

    fn counts(&self) -> Counts {
        Counts::one_of_each(self.n_in(), self.n_out())
    }

    fn exact_plan(&self) -> ExactPlan {
        ExactPlan::new(&self.in_scores, &self.out_scores)
    }

    fn paper_plan(&self, protocol: &PaperProtocol) -> PaperPlan<'_> {
        PaperPlan::new(&self.in_scores, &self.out_scores, protocol)
    }
}
