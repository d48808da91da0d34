//! How one score separates two sets, summarised for pictures.

use crate::bins::Bins;
use crate::plot::decimated;
use odin_metrics::{Error, OperatingPoint, Points, PrecisionRecallCurve, Scores, Side};

/// At most so many thresholds are kept, however many images there are.
const STOPS: usize = 1000;

/// The share of in-distribution images that is kept at the point that every picture marks.
const TPR: f64 = 0.95;

/// What pictures show of one score of an in- and an out-of-distribution set: a histogram, the
/// curves, and the counts at up to 1,000 thresholds. Its size does not grow with the sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Separation {
    pub(crate) score: String,
    pub(crate) n_in: u64,
    pub(crate) n_out: u64,
    pub(crate) bins: Bins,
    /// Thresholds, rising.
    pub(crate) stops: Vec<Stop>,
    /// How many different scores there are; more than stops where some are left out.
    pub(crate) distinct: usize,
    /// The largest threshold that keeps 95 % of the in-distribution images.
    pub(crate) at_95: Stop,
    /// Where a threshold that moves starts: one of the stops.
    pub(crate) start: Stop,
    /// FPR and TPR in per cent.
    pub(crate) roc: Vec<(f64, f64)>,
    /// Recall and precision in per cent, for either side as the positive one.
    pub(crate) of_in: Vec<(f64, f64)>,
    pub(crate) of_out: Vec<(f64, f64)>,
}

/// A threshold and the exact numbers of images of either side whose scores reach it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stop {
    pub(crate) threshold: f64,
    pub(crate) kept_in: u64,
    pub(crate) kept_out: u64,
}

impl Separation {
    /// Of the score of this name.
    ///
    /// # Errors
    /// When a side is empty or a score is not finite.
    pub fn new(score: &str, in_scores: &[f64], out_scores: &[f64]) -> Result<Self, Error> {
        Self::starting_at(None, score, in_scores, out_scores)
    }

    /// With the threshold that is in force; without one it starts at 95 % TPR.
    pub(crate) fn starting_at(
        threshold: Option<f64>,
        score: &str,
        in_scores: &[f64],
        out_scores: &[f64],
    ) -> Result<Self, Error> {
        let scores = Scores::new(in_scores, out_scores)?;
        let sizes = (scores.n_in() as u64, scores.n_out() as u64);
        let curve = scores.roc_curve(Points::All);
        let rates = || curve.fpr.iter().copied().zip(curve.tpr.iter().copied());
        let mut all: Vec<Stop> = rates()
            .zip(&curve.thresholds)
            .skip(1) // the threshold +∞
            .map(|((fpr, tpr), &threshold)| Stop::new(threshold, (tpr, fpr), sizes))
            .collect();
        all.reverse();
        let (at_95, best) = (scores.operating_point(TPR)?, scores.lowest_error());
        let start = threshold.filter(|threshold| threshold.is_finite());
        let start = start.unwrap_or(at_95.threshold);
        let start = stop_at(start, &mut all);
        Ok(Self {
            score: score.to_string(),
            n_in: sizes.0,
            n_out: sizes.1,
            bins: Bins::of(&[in_scores, out_scores]),
            stops: some(&all, [at_95.threshold, best.threshold, start.threshold]),
            distinct: all.len(),
            at_95: Stop::of(&at_95, sizes),
            start,
            roc: decimated(rates().map(in_percent)),
            of_in: points(&scores.precision_recall_curve(Side::In, Points::Corners)),
            of_out: points(&scores.precision_recall_curve(Side::Out, Points::Corners)),
        })
    }

    /// The name of the score.
    pub fn score(&self) -> &str {
        &self.score
    }

    /// The largest threshold that keeps 95 % of the in-distribution images.
    pub fn threshold_at_95(&self) -> f64 {
        self.at_95.threshold
    }

    pub(crate) fn tpr(&self, stop: &Stop) -> f64 {
        share(stop.kept_in, self.n_in)
    }

    pub(crate) fn fpr(&self, stop: &Stop) -> f64 {
        share(stop.kept_out, self.n_out)
    }

    /// The share of in-distribution images among those that are kept.
    pub(crate) fn precision(&self, stop: &Stop) -> f64 {
        share(stop.kept_in, stop.kept_in + stop.kept_out)
    }

    /// `0.5 (1 - TPR) + 0.5 FPR`, from whole numbers, so that it is rounded once.
    pub(crate) fn detection_error(&self, stop: &Stop) -> f64 {
        let missed = (self.n_in - stop.kept_in) as f64 * self.n_out as f64;
        let passed = stop.kept_out as f64 * self.n_in as f64;
        (missed + passed) / (2.0 * self.n_in as f64 * self.n_out as f64)
    }

    /// The share of out-of-distribution images among those that are rejected; 1 where none is.
    pub(crate) fn precision_of_out(&self, stop: &Stop) -> f64 {
        let rejected = (self.n_in - stop.kept_in, self.n_out - stop.kept_out);
        match rejected {
            (0, 0) => 1.0,
            (ins, outs) => share(outs, ins + outs),
        }
    }

    /// The place of the start among the stops.
    pub(crate) fn place_of_start(&self) -> usize {
        let before = |stop: &Stop| stop.threshold < self.start.threshold;
        self.stops.partition_point(before)
    }
}

impl Stop {
    /// Shares are counts divided by these sizes, so that they give the counts back.
    fn new(threshold: f64, (tpr, fpr): (f64, f64), (n_in, n_out): (u64, u64)) -> Self {
        let count = |rate: f64, total: u64| (rate * total as f64).round() as u64;
        Self {
            threshold,
            kept_in: count(tpr, n_in),
            kept_out: count(fpr, n_out),
        }
    }

    fn of(point: &OperatingPoint, sizes: (u64, u64)) -> Self {
        Self::new(point.threshold, (point.tpr, point.fpr), sizes)
    }
}

/// The stop of a threshold, which is put among the others if it is none of the scores.
fn stop_at(threshold: f64, all: &mut Vec<Stop>) -> Stop {
    let place = all.partition_point(|stop| stop.threshold < threshold);
    match all.get(place) {
        Some(stop) if stop.threshold == threshold => *stop,
        next => {
            let (kept_in, kept_out) = next.map_or((0, 0), |stop| (stop.kept_in, stop.kept_out));
            let stop = Stop {
                threshold,
                kept_in,
                kept_out,
            };
            all.insert(place, stop);
            stop
        }
    }
}

/// At most [`STOPS`], evenly spread, with the first, the last and these among them.
fn some(all: &[Stop], kept: [f64; 3]) -> Vec<Stop> {
    if all.len() <= STOPS {
        return all.to_vec();
    }
    let place = |threshold: f64| all.partition_point(|stop| stop.threshold < threshold);
    let spread = STOPS - kept.len();
    let mut places: Vec<usize> = (0..spread)
        .map(|i| i * (all.len() - 1) / (spread - 1))
        .chain(kept.map(place))
        .collect();
    places.sort_unstable();
    places.dedup();
    places
        .into_iter()
        .filter_map(|i| all.get(i).copied())
        .collect()
}

fn points(curve: &PrecisionRecallCurve) -> Vec<(f64, f64)> {
    let points = curve
        .recall
        .iter()
        .copied()
        .zip(curve.precision.iter().copied());
    decimated(points.map(in_percent))
}

fn in_percent((x, y): (f64, f64)) -> (f64, f64) {
    (100.0 * x, 100.0 * y)
}

fn share(count: u64, total: u64) -> f64 {
    count as f64 / total as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts by the definition.
    fn counts(stop: &Stop, in_scores: &[f64], out_scores: &[f64]) -> (u64, u64) {
        let kept = |scores: &[f64]| scores.iter().filter(|s| **s >= stop.threshold).count() as u64;
        (kept(in_scores), kept(out_scores))
    }

    #[test]
    fn counts_at_every_stop_are_exact_however_many_scores_there_are() {
        for (n, ties) in [(1_u64, 1), (3, 1), (700, 7), (5000, 1), (5000, 40)] {
            let scores = |a: u64| -> Vec<f64> {
                let score = |i| ((i * a % 9973) / ties) as f64 / 9973.0;
                (1..=n).map(score).collect()
            };
            let (ins, outs) = (scores(7919), scores(104_729));
            let separation = Separation::new("odin", &ins, &outs).unwrap();
            assert!(separation.stops.len() <= STOPS);
            assert!(separation.roc.len() <= 502 && separation.of_in.len() <= 2000);
            for stop in separation.stops.iter().chain([&separation.at_95]) {
                let (kept_in, kept_out) = counts(stop, &ins, &outs);
                assert_eq!(
                    (stop.kept_in, stop.kept_out),
                    (kept_in, kept_out),
                    "{stop:?}"
                );
            }
            let of_95 = separation.stops[separation.place_of_start()];
            assert_eq!(of_95, separation.at_95);
            assert!(separation.tpr(&of_95) >= 0.95);
            // A score, between scores, below and above all of them.
            for threshold in [ins[0], 0.312_345, -1.0, 2.0] {
                let separation =
                    Separation::starting_at(Some(threshold), "odin", &ins, &outs).unwrap();
                let start = separation.stops[separation.place_of_start()];
                assert_eq!((start, start.threshold), (separation.start, threshold));
                assert_eq!((start.kept_in, start.kept_out), counts(&start, &ins, &outs));
                assert!(
                    separation.stops.len() <= STOPS
                        && separation
                            .stops
                            .is_sorted_by(|a, b| a.threshold < b.threshold)
                );
            }
        }
    }

    #[test]
    fn a_side_without_scores_is_an_error() {
        for (ins, outs) in [(&[][..], &[1.0][..]), (&[1.0], &[]), (&[f64::NAN], &[1.0])] {
            assert!(Separation::new("odin", ins, outs).is_err());
        }
    }
}
