//! The metrics as the authors' program computed them: thresholds on a fixed grid, rates instead
//! of counts, left rectangles instead of trapezoids.

mod grid;
mod plan;
#[cfg(test)]
mod tests;

use crate::metrics::Metrics;
use grid::Grid;
pub(crate) use plan::PaperPlan;

/// The temperature to which the paper's grid for ODIN scores belongs.
const PAPER_TEMPERATURE: f64 = 1000.0;

/// The authors' procedure for one of the two scores that the paper compares.
///
/// Thresholds form a grid of 100,000 steps over a range that the number of classes and the
/// temperature fix, the end excluded. The paper's ranges:
///
/// | score | 10 classes | 100 classes |
/// |---|---|---|
/// | baseline | 0.1 to 1 | 0.01 to 1 |
/// | ODIN, T = 1000 | 0.1 to 0.12 | 0.01 to 0.0104 |
///
/// For other class counts or temperatures they make no sense, and the range is that of the
/// pooled scores. When that range is empty or too narrow to be divided (all scores equal, say)
/// no metric is defined on the grid; see [`PaperMetrics::exact_instead`].
///
/// On the grid:
/// - FPR at 95 % TPR: mean share of out-scores `> δ` over the grid points with TPR in
///   `[0.9495, 0.9505]`;
/// - detection error: smallest `(share of in-scores < δ + share of out-scores > δ) / 2`;
/// - AUROC: left rectangles; FPR counts out-scores `> δ` for the baseline, `>= δ` for ODIN;
/// - AUPR-In, AUPR-Out: precision from rates, `tpr / (tpr + fpr)`, as if both sides had the same
///   number of images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaperProtocol {
    score: Score,
    range: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Score {
    Baseline,
    Odin,
}

impl PaperProtocol {
    /// For the maximum softmax probability of a classifier of so many classes.
    pub fn baseline(classes: usize) -> Self {
        let range = match classes {
            10 => Some((0.1, 1.0)),
            100 => Some((0.01, 1.0)),
            _ => None,
        };
        Self {
            score: Score::Baseline,
            range,
        }
    }

    /// For the ODIN score of a classifier of so many classes at this temperature.
    pub fn odin(classes: usize, temperature: f64) -> Self {
        let range = match classes {
            10 if temperature == PAPER_TEMPERATURE => Some((0.1, 0.12)),
            100 if temperature == PAPER_TEMPERATURE => Some((0.01, 0.0104)),
            _ => None,
        };
        Self {
            score: Score::Odin,
            range,
        }
    }

    /// For a score that the paper's program does not know: thresholds over the pooled scores, and
    /// the AUROC as for ODIN.
    pub fn other() -> Self {
        Self {
            score: Score::Odin,
            range: None,
        }
    }

    /// The range that the paper's program prescribes, start included, end excluded; `None` when
    /// it prescribes none and that of the pooled scores is taken.
    pub fn range(&self) -> Option<(f64, f64)> {
        self.range
    }

    fn grid(&self, in_scores: &[f64], out_scores: &[f64]) -> Option<Grid> {
        let (start, end) = self.range.or_else(|| pooled_range(in_scores, out_scores))?;
        Grid::new(start, end)
    }
}

/// The smallest and the largest score of two ascending sides.
fn pooled_range(in_scores: &[f64], out_scores: &[f64]) -> Option<(f64, f64)> {
    let start = in_scores.first()?.min(*out_scores.first()?);
    let end = in_scores.last()?.max(*out_scores.last()?);
    Some((start, end))
}

/// The metrics as the authors' program computes them, and where it could not.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PaperMetrics {
    /// The five metrics.
    pub values: Metrics,
    /// Which of them are undefined on the grid, so that [`values`](Self::values) holds the exact
    /// value instead. For FPR at 95 % TPR this happens with ties or few images, when no grid
    /// point has a TPR within 0.05 % of 95 %; for all five when the scores cannot be divided
    /// into a grid; for AUPR-In (AUPR-Out) when every score lies below the grid (at or above
    /// its end).
    pub exact_instead: Metrics<bool>,
    /// How many scores of both sides lie outside the grid's range, below its start or above its
    /// end. Many of them mean that the range does not fit: scores of another temperature, or
    /// logarithms of scores.
    pub outside_grid: usize,
}
