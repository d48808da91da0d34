//! Thresholds and their operating points: TPR, FPR and detection error.

use crate::counts::share;
use crate::error::{Error, ErrorKind};
use crate::levels::Levels;
use crate::sorted::check;

/// A threshold and what it does: an input is taken for in-distribution iff its score is `>=`
/// the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct OperatingPoint {
    /// The threshold δ, in units of the score. It is one of the in-distribution scores.
    pub threshold: f64,
    /// Share of in-scores `>= δ`. With ties or few scores it exceeds the TPR that was asked for.
    pub tpr: f64,
    /// Share of out-scores `>= δ`.
    pub fpr: f64,
    /// `0.5 (1 - tpr) + 0.5 fpr`.
    pub detection_error: f64,
}

impl OperatingPoint {
    /// Youden's J, `tpr - fpr`: 0 by chance, 1 at best. It is `1 - 2 detection_error`.
    pub fn youden_j(&self) -> f64 {
        self.tpr - self.fpr
    }

    /// Both sides in ascending order and not empty.
    fn new(in_scores: &[f64], out_scores: &[f64], threshold: f64) -> Self {
        let tpr = share_from(in_scores, threshold);
        let fpr = share_from(out_scores, threshold);
        Self {
            threshold,
            tpr,
            fpr,
            detection_error: 0.5 * (1.0 - tpr) + 0.5 * fpr,
        }
    }

    pub(crate) fn at_tpr(in_scores: &[f64], out_scores: &[f64], tpr: f64) -> Result<Self, Error> {
        let threshold = largest_threshold(in_scores, tpr)?;
        Ok(Self::new(in_scores, out_scores, threshold))
    }

    pub(crate) fn at_fpr(in_scores: &[f64], out_scores: &[f64], fpr: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&fpr) {
            return Err(Error::new(
                ErrorKind::InvalidFpr,
                format!("the FPR {fpr} is not in [0, 1]; give a share such as 0.05"),
            ));
        }
        let place = in_scores.partition_point(|&score| share_from(out_scores, score) > fpr);
        match in_scores.get(place) {
            Some(&threshold) => Ok(Self::new(in_scores, out_scores, threshold)),
            None => {
                let lowest = share_from(out_scores, in_scores[in_scores.len() - 1]);
                Err(Error::new(
                    ErrorKind::UnreachableFpr,
                    format!(
                        "no threshold keeps an in-distribution score at an FPR of {fpr} or less: \
                         the share {lowest} of the {} out-of-distribution scores reaches the \
                         highest in-distribution score; ask for a higher FPR",
                        out_scores.len()
                    ),
                ))
            }
        }
    }

    pub(crate) fn lowest_error(in_scores: &[f64], out_scores: &[f64]) -> Self {
        let (n_in, n_out) = (in_scores.len() as u128, out_scores.len() as u128);
        let (mut misses, mut rejected) = (0, 0);
        let errors = Levels::new(in_scores, out_scores).filter_map(|level| {
            // The detection error times `2 n_in n_out`, so that equal ones are equal.
            let error = misses * n_out + (n_out - rejected) * n_in;
            misses += u128::from(level.in_count);
            rejected += u128::from(level.out_count);
            (level.in_count > 0).then_some((error, level.score))
        });
        // The first of equal ones is the one with the lowest threshold.
        let best = errors.min_by_key(|(error, _)| *error);
        Self::new(in_scores, out_scores, best.map_or(in_scores[0], |b| b.1))
    }
}

/// The largest threshold δ that keeps at least the share `tpr` of the scores: `share of in_scores
/// >= δ` is at least `tpr`. It is one of the scores, and no out-of-distribution data is needed to
/// find it. [`calibrate`](crate::calibrate) also gives confidence intervals.
///
/// # Errors
/// [`ErrorKind::EmptyScores`], [`ErrorKind::NonFiniteScore`], or [`ErrorKind::InvalidTpr`] unless
/// `0 < tpr <= 1`.
pub fn threshold_at_tpr(in_scores: &[f64], tpr: f64) -> Result<f64, Error> {
    check("in-distribution", in_scores)?;
    let kept = kept_at_tpr(in_scores.len(), tpr)?;
    let mut scores = in_scores.to_vec();
    let rejected = scores.len() - kept;
    let (_, threshold, _) = scores.select_nth_unstable_by(rejected, f64::total_cmp);
    Ok(*threshold)
}

fn largest_threshold(ascending: &[f64], tpr: f64) -> Result<f64, Error> {
    let kept = kept_at_tpr(ascending.len(), tpr)?;
    Ok(ascending[ascending.len() - kept])
}

/// The fewest of `n` scores that are at least the share `tpr` of them: `⌈tpr n⌉`, from 1 to `n`.
pub(crate) fn kept_at_tpr(n: usize, tpr: f64) -> Result<usize, Error> {
    check_tpr(tpr)?;
    Ok(fewest(n as u64, tpr) as usize)
}

/// The fewest of `n` whose share, as it is computed, is at least `wanted`, which is at most 1; at
/// least one.
pub(crate) fn fewest(n: u64, wanted: f64) -> u64 {
    let (mut too_few, mut enough) = (0, n);
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if share(middle, n) >= wanted {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    enough
}

pub(crate) fn check_tpr(tpr: f64) -> Result<(), Error> {
    if tpr > 0.0 && tpr <= 1.0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidTpr,
        format!("the TPR {tpr} is not in (0, 1]; give a share such as 0.95"),
    ))
}

/// Number of the scores `< threshold`.
fn below(ascending: &[f64], threshold: f64) -> usize {
    ascending.partition_point(|score| *score < threshold)
}

/// Share of the scores `>= threshold`.
pub(crate) fn share_from(ascending: &[f64], threshold: f64) -> f64 {
    let from = ascending.len() - below(ascending, threshold);
    share(from as u64, ascending.len() as u64)
}
