//! Thresholds at a target TPR from in-distribution scores, with distribution-free confidence
//! intervals.

use crate::distributions::{Chance, beta_quantile, binomial_cdf};
use crate::error::Error;
use crate::interval::{Interval, TAILS};
use crate::sorted::sorted;
use crate::threshold::{check_tpr, kept_at_tpr, share_from};

/// A threshold chosen from in-distribution scores alone, with its uncertainty; see [`calibrate`].
///
/// Two things are uncertain. The threshold that would keep exactly the wanted share of *all*
/// in-distribution images is known only within `threshold_interval`. And this threshold keeps a
/// share of future images that is known only within `tpr_interval`. Both intervals assume that
/// the calibration images and those met in use are drawn independently from the same source, and
/// nothing else: no shape of the distribution of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// The threshold δ, in units of the score; one of the scores. An input is taken for
    /// in-distribution iff its score is `>= δ`.
    pub threshold: f64,
    /// The TPR that was asked for.
    pub target_tpr: f64,
    /// Number of calibration scores.
    pub images: usize,
    /// Share of the calibration scores `>= δ`; at least the target.
    pub tpr: f64,
    /// The TPR to expect on new images, `kept / (images + 1)`. It lies a little below the target,
    /// because δ was fitted to these scores. With ties at δ it is a lower bound.
    pub expected_tpr: f64,
    /// 95 % interval of the TPR on new images. With ties at δ the TPR may lie above it.
    pub tpr_interval: Interval,
    /// 95 % interval of the threshold that has the target TPR on all images.
    pub threshold_interval: ThresholdInterval,
}

/// 95 % interval of a threshold. Its ends are scores; an end is `None` where there are too few
/// scores for one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdInterval {
    /// The lower end. A detector with this threshold keeps the target TPR with 97.5 % confidence:
    /// the conservative choice where few in-distribution images may be rejected.
    pub lower: Option<f64>,
    /// The upper end. With this threshold the TPR is at most the target, with the same
    /// confidence.
    pub upper: Option<f64>,
}

impl Calibration {
    /// From scores in ascending order and not empty.
    fn new(ascending: &[f64], target_tpr: f64) -> Result<Self, Error> {
        let n = ascending.len();
        let kept = kept_at_tpr(n, target_tpr)?;
        let threshold = ascending[n - kept];
        let (kept_count, rank) = (kept as u64, (n - kept + 1) as u64);
        Ok(Self {
            threshold,
            target_tpr,
            images: n,
            tpr: share_from(ascending, threshold),
            expected_tpr: kept as f64 / (n as f64 + 1.0),
            tpr_interval: Interval {
                lower: beta_quantile(TAILS.0, kept_count, rank),
                upper: beta_quantile(TAILS.1, kept_count, rank),
            },
            threshold_interval: ThresholdInterval::new(ascending, target_tpr),
        })
    }

    /// Whether there are scores enough for both ends of the threshold's interval; see
    /// [`minimum_images`].
    pub fn enough_images(&self) -> bool {
        self.threshold_interval.lower.is_some() && self.threshold_interval.upper.is_some()
    }
}

impl ThresholdInterval {
    /// With `K` the number of scores below the true threshold, `K ~ Binomial(n, 1 - tpr)`:
    /// score number `l` lies above that threshold iff `K < l`, score number `u` lies below it iff
    /// `K >= u`. The ends are the largest `l` and the smallest `u` for which that has a
    /// probability of at most 2.5 %.
    fn new(ascending: &[f64], target_tpr: f64) -> Self {
        let n = ascending.len();
        let rejected = Chance {
            p: 1.0 - target_tpr,
            q: target_tpr,
        };
        let fewer = |rank: usize| match rank {
            0 => 0.0,
            _ => binomial_cdf(rank as u64 - 1, n as u64, rejected),
        };
        let lower_rank = last_rank(n, |rank| fewer(rank) <= TAILS.0);
        let upper_rank = last_rank(n, |rank| fewer(rank) < TAILS.1) + 1;
        let score = |rank: usize| rank.checked_sub(1).and_then(|i| ascending.get(i)).copied();
        Self {
            lower: score(lower_rank),
            upper: score(upper_rank),
        }
    }
}

/// The largest rank in `0..=n` that satisfies a condition which 0 satisfies and which, once
/// broken, stays broken.
fn last_rank(n: usize, condition: impl Fn(usize) -> bool) -> usize {
    let (mut good, mut bad) = (0, n + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if condition(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

/// Chooses the threshold that keeps the share `tpr` of the in-distribution scores, and computes its
/// confidence intervals. No out-of-distribution data is needed; in-distribution inputs score high.
///
/// The threshold is that of [`threshold_at_tpr`](crate::threshold_at_tpr): the largest δ that
/// keeps at least the share `tpr` of these scores, the `⌈tpr n⌉`-th highest. So it is the
/// threshold at which FPR at 95 % TPR is measured. Write `r` for its rank from below. When scores
/// have no ties, the TPR of δ on new images is distributed as `Beta(n - r + 1, r)` whatever the
/// distribution of scores (Wilks 1941); mean and interval are those of this distribution. With
/// ties at δ the TPR is at least so high. The interval of the threshold is the distribution-free
/// one of a quantile (David and Nagaraja, *Order Statistics*, 3rd edition, section 7.1); with
/// ties it still covers with at least 95 %.
///
/// The split-conformal rule would keep `⌈tpr (n + 1)⌉` scores, at most one more, to bring the
/// *expected* TPR to the target. That moves it by at most `1 / (n + 1)`, far less than the
/// interval is wide; who must not miss the target takes the lower end of `threshold_interval`.
///
/// ```
/// let scores: Vec<f64> = (1..=1000).map(f64::from).collect();
/// let calibration = odin_metrics::calibrate(&scores, 0.95)?;
/// assert_eq!(calibration.threshold, 51.0);
/// assert_eq!(calibration.tpr, 0.95);
/// assert_eq!(calibration.expected_tpr, 950.0 / 1001.0);
/// assert_eq!(calibration.threshold_interval.lower, Some(37.0));
/// assert_eq!(calibration.threshold_interval.upper, Some(65.0));
/// assert!(calibration.enough_images());
/// # Ok::<(), odin_metrics::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::EmptyScores`](crate::ErrorKind::EmptyScores),
/// [`ErrorKind::NonFiniteScore`](crate::ErrorKind::NonFiniteScore), or
/// [`ErrorKind::InvalidTpr`](crate::ErrorKind::InvalidTpr) unless `0 < tpr <= 1`.
pub fn calibrate(in_scores: &[f64], tpr: f64) -> Result<Calibration, Error> {
    Calibration::new(&sorted("in-distribution", in_scores)?, tpr)
}

/// The fewest images with which the threshold at the TPR `tpr` has a 95 % interval with two ends:
/// the smallest `n` with `max(tpr, 1 - tpr)^n <= 0.025`, which is 72 for 95 % and 368 for 99 %.
///
/// With fewer images not even the lowest of all scores, taken as threshold, would keep the share
/// `tpr` of new images with 97.5 % confidence (for `tpr >= 0.5`). `None` for a TPR of 1, which no
/// number of images can establish.
///
/// # Errors
/// [`ErrorKind::InvalidTpr`](crate::ErrorKind::InvalidTpr) unless `0 < tpr <= 1`.
pub fn minimum_images(tpr: f64) -> Result<Option<usize>, Error> {
    check_tpr(tpr)?;
    let images = (libm::log(TAILS.0) / libm::log(tpr.max(1.0 - tpr))).ceil();
    Ok(images.is_finite().then_some(images as usize))
}

/// A threshold for each class, with the threshold of all images where a class has too few; see
/// [`calibrate_classes`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassCalibrations {
    /// From the scores of all classes.
    pub overall: Calibration,
    /// One entry for each class, in the order given; `None` where it had too few images.
    pub classes: Vec<Option<Calibration>>,
}

impl ClassCalibrations {
    /// The calibration that holds for a class: its own, or the overall one where it has none.
    pub fn of(&self, class: usize) -> &Calibration {
        let own = self.classes.get(class).and_then(Option::as_ref);
        own.unwrap_or(&self.overall)
    }
}

/// [`calibrate`] for each class apart, and for all together. `scores_of_classes[c]` holds the
/// scores of the images that the network *predicts* to be of class `c`: in use only the prediction
/// is known, so grouping by labels would state a TPR that does not hold in use. A class with fewer
/// than `minimum` images, or none, falls back to the overall threshold; [`minimum_images`] is a
/// sound minimum.
///
/// # Errors
/// Those of [`calibrate`]; the index of a score that is not finite counts through all classes in
/// their order.
pub fn calibrate_classes<S: AsRef<[f64]>>(
    scores_of_classes: &[S],
    tpr: f64,
    minimum: usize,
) -> Result<ClassCalibrations, Error> {
    let all: Vec<&[f64]> = scores_of_classes.iter().map(AsRef::as_ref).collect();
    let overall = calibrate(&all.concat(), tpr)?;
    let enough = |scores: &&[f64]| scores.len() >= minimum.max(1);
    let classes = all
        .into_iter()
        .map(|scores| Some(scores).filter(enough))
        .map(|scores| scores.map(|scores| calibrate(scores, tpr)).transpose())
        .collect::<Result<_, _>>()?;
    Ok(ClassCalibrations { overall, classes })
}
