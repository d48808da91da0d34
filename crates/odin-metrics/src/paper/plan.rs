//! Places of the grid's points among the sorted scores, and the metrics computed from them.

use std::cell::LazyCell;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use super::grid::Grid;
use super::{PaperMetrics, PaperProtocol, Score};
use crate::counts::Counts;
use crate::exact::ExactPlan;
use crate::levels::{leading, trailing};
use crate::metrics::Metrics;

/// TPR that counts as "95 %" on the grid, ends included.
const TPR_BAND: RangeInclusive<f64> = 0.9495..=0.9505;

/// Neighbouring points of the ascending grid that no score tells apart, as places in the two
/// sorted sides.
#[derive(Debug, Clone, Copy, PartialEq)]
struct AscendingRun {
    /// Number of in-scores `< δ`.
    in_below: usize,
    /// Number of out-scores `< δ`.
    out_below: usize,
    /// Number of out-scores `<= δ`.
    out_up_to: usize,
    /// Number of grid points in this run.
    points: u64,
}

/// The same on the descending grid.
#[derive(Debug, Clone, Copy, PartialEq)]
struct DescendingRun {
    in_below: usize,
    out_below: usize,
}

/// The grid laid over the scores: where each of its points falls in the sorted sides. Without a
/// grid there are no runs.
#[derive(Debug)]
pub(crate) struct PaperPlan<'a> {
    in_scores: &'a [f64],
    out_scores: &'a [f64],
    score: Score,
    ascending: Vec<AscendingRun>,
    descending: Vec<DescendingRun>,
    outside_grid: usize,
    /// What stands in where a metric is undefined on the grid; made when it is first needed.
    exact: OnceLock<ExactPlan>,
}

impl<'a> PaperPlan<'a> {
    /// From the two sides, each in ascending order and not empty.
    pub(crate) fn new(
        in_scores: &'a [f64],
        out_scores: &'a [f64],
        protocol: &PaperProtocol,
    ) -> Self {
        let grid = protocol.grid(in_scores, out_scores);
        Self::on_grid(in_scores, out_scores, protocol.score, grid)
    }

    pub(super) fn on_grid(
        in_scores: &'a [f64],
        out_scores: &'a [f64],
        score: Score,
        grid: Option<Grid>,
    ) -> Self {
        let mut plan = Self {
            in_scores,
            out_scores,
            score,
            ascending: Vec::new(),
            descending: Vec::new(),
            outside_grid: 0,
            exact: OnceLock::new(),
        };
        if let Some(grid) = grid {
            plan.ascending = ascending_runs(in_scores, out_scores, &grid);
            plan.descending = descending_runs(in_scores, out_scores, &grid);
            plan.outside_grid = outside(in_scores, &grid) + outside(out_scores, &grid);
        }
        plan
    }

    pub(crate) fn metrics(&self, counts: &Counts) -> PaperMetrics {
        let on_grid = Metrics {
            fpr_at_95_tpr: self.fpr_at_95_tpr(counts),
            detection_error: self.detection_error(counts),
            auroc: self.auroc(counts),
            aupr_in: self.aupr_in(counts),
            aupr_out: self.aupr_out(counts),
        };
        let exact = LazyCell::new(|| self.exact().metrics(counts));
        PaperMetrics {
            values: Metrics {
                fpr_at_95_tpr: on_grid.fpr_at_95_tpr.unwrap_or_else(|| exact.fpr_at_95_tpr),
                detection_error: on_grid
                    .detection_error
                    .unwrap_or_else(|| exact.detection_error),
                auroc: on_grid.auroc.unwrap_or_else(|| exact.auroc),
                aupr_in: on_grid.aupr_in.unwrap_or_else(|| exact.aupr_in),
                aupr_out: on_grid.aupr_out.unwrap_or_else(|| exact.aupr_out),
            },
            exact_instead: on_grid.map(|value| value.is_none()),
            outside_grid: self.outside_grid,
        }
    }

    pub(super) fn exact(&self) -> &ExactPlan {
        self.exact
            .get_or_init(|| ExactPlan::new(self.in_scores, self.out_scores))
    }

    /// TPR falls along the grid, so the points in the band are neighbours.
    fn fpr_at_95_tpr(&self, counts: &Counts) -> Option<f64> {
        let tpr = |run: &AscendingRun| counts.in_scores.share_from(run.in_below);
        let first = self
            .ascending
            .partition_point(|run| tpr(run) > *TPR_BAND.end());
        let after = self
            .ascending
            .partition_point(|run| tpr(run) >= *TPR_BAND.start());
        let band = self.ascending.get(first..after)?;
        let points: u64 = band.iter().map(|run| run.points).sum();
        let false_positives: u128 = band
            .iter()
            .map(|run| u128::from(run.points) * u128::from(counts.out_scores.from(run.out_up_to)))
            .sum();
        let n_out = counts.out_scores.total();
        (points > 0).then(|| false_positives as f64 / (points as f64 * n_out as f64))
    }

    fn detection_error(&self, counts: &Counts) -> Option<f64> {
        let errors = self.ascending.iter().map(|run| {
            let miss = counts.in_scores.share_below(run.in_below);
            let fpr = counts.out_scores.share_from(run.out_up_to);
            (miss + fpr) / 2.0
        });
        errors.reduce(f64::min)
    }

    fn auroc(&self, counts: &Counts) -> Option<f64> {
        let points = self.ascending.iter().map(|run| {
            let out_kept = match self.score {
                Score::Baseline => run.out_up_to,
                Score::Odin => run.out_below,
            };
            let fpr = counts.out_scores.share_from(out_kept);
            (fpr, counts.in_scores.share_from(run.in_below))
        });
        left_rectangles(points)
    }

    fn aupr_in(&self, counts: &Counts) -> Option<f64> {
        precision_recall_area(self.ascending.iter().map(|run| {
            let tpr = counts.in_scores.share_from(run.in_below);
            let fpr = counts.out_scores.share_from(run.out_below);
            (tpr, fpr)
        }))
    }

    fn aupr_out(&self, counts: &Counts) -> Option<f64> {
        precision_recall_area(self.descending.iter().map(|run| {
            let tpr = counts.out_scores.share_below(run.out_below);
            let fpr = counts.in_scores.share_below(run.in_below);
            (tpr, fpr)
        }))
    }
}

/// `Σ (previous x - x) · y` over points with falling x, from x = 1, and a last rectangle down to
/// x = 0. `None` without points.
fn left_rectangles(points: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let mut area = 0.0;
    let mut previous = 1.0;
    let mut last = None;
    for (x, y) in points {
        area += (previous - x) * y;
        previous = x;
        last = Some(x * y);
    }
    last.map(|last| area + last)
}

/// The area under precision over recall, from (recall, false-positive rate) that fall to the
/// first point where nothing is found. `None` when that is the first point.
fn precision_recall_area(rates: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let found = rates.take_while(|(recall, fpr)| recall + fpr > 0.0);
    left_rectangles(found.map(|(recall, fpr)| (recall, recall / (recall + fpr))))
}

fn ascending_runs(in_scores: &[f64], out_scores: &[f64], grid: &Grid) -> Vec<AscendingRun> {
    let mut runs: Vec<AscendingRun> = Vec::new();
    let (mut in_below, mut out_below, mut out_up_to) = (0, 0, 0);
    for threshold in grid.ascending() {
        in_below += leading(&in_scores[in_below..], |score| score < threshold);
        out_below += leading(&out_scores[out_below..], |score| score < threshold);
        out_up_to += leading(&out_scores[out_up_to..], |score| score <= threshold);
        match runs.last_mut() {
            Some(run)
                if (run.in_below, run.out_below, run.out_up_to)
                    == (in_below, out_below, out_up_to) =>
            {
                run.points += 1;
            }
            _ => runs.push(AscendingRun {
                in_below,
                out_below,
                out_up_to,
                points: 1,
            }),
        }
    }
    runs
}

fn descending_runs(in_scores: &[f64], out_scores: &[f64], grid: &Grid) -> Vec<DescendingRun> {
    let mut run = DescendingRun {
        in_below: in_scores.len(),
        out_below: out_scores.len(),
    };
    let mut runs = Vec::new();
    for threshold in grid.descending() {
        run.in_below -= trailing(&in_scores[..run.in_below], |score| score >= threshold);
        run.out_below -= trailing(&out_scores[..run.out_below], |score| score >= threshold);
        if runs.last() != Some(&run) {
            runs.push(run);
        }
    }
    runs
}

/// Number of scores beyond the ends of the grid.
fn outside(ascending: &[f64], grid: &Grid) -> usize {
    leading(ascending, |score| score < grid.start) + trailing(ascending, |score| score > grid.end)
}
