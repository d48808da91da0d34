use crate::counts::share;
use crate::error::{Error, ErrorKind};
use crate::scores::sorted;

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
    /// Both sides in ascending order and not empty.
    pub(crate) fn at_tpr(in_scores: &[f64], out_scores: &[f64], tpr: f64) -> Result<Self, Error> {
        let threshold = largest_threshold(in_scores, tpr)?;
        let tpr = share_from(in_scores, threshold);
        let fpr = share_from(out_scores, threshold);
        Ok(Self {
            threshold,
            tpr,
            fpr,
            detection_error: 0.5 * (1.0 - tpr) + 0.5 * fpr,
        })
    }
}

/// The largest threshold δ that keeps at least the share `tpr` of the scores: `share of
/// in_scores >= δ` is at least `tpr`. It is one of the scores, and no out-of-distribution data
/// is needed to find it.
///
/// # Errors
/// [`ErrorKind::EmptyScores`], [`ErrorKind::NonFiniteScore`], or [`ErrorKind::InvalidTpr`] unless
/// `0 < tpr <= 1`.
pub fn threshold_at_tpr(in_scores: &[f64], tpr: f64) -> Result<f64, Error> {
    largest_threshold(&sorted("in-distribution", in_scores)?, tpr)
}

fn largest_threshold(ascending: &[f64], tpr: f64) -> Result<f64, Error> {
    if !(tpr > 0.0 && tpr <= 1.0) {
        return Err(Error::new(
            ErrorKind::InvalidTpr,
            format!("the TPR {tpr} is not in (0, 1]; give a share such as 0.95"),
        ));
    }
    let n = ascending.len();
    // From the top, each score lowers the threshold and keeps one more; all n always suffice.
    let kept = (1..n).find(|&kept| share(kept as u64, n as u64) >= tpr);
    Ok(ascending[n - kept.unwrap_or(n)])
}

fn share_from(ascending: &[f64], threshold: f64) -> f64 {
    let below = ascending.partition_point(|score| *score < threshold);
    share((ascending.len() - below) as u64, ascending.len() as u64)
}
