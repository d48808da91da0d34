//! The report of `odin drift`.

mod page;

use crate::bins::Bins;
use crate::columns::aligned;
use crate::json;
use crate::score_file::{DetectorId, ScoreColumn, other_detector};
use crate::terms::percent;
use odin_error::escape;
use odin_metrics::{Drift, Error, Interval, Rate, RateChange, Verdict, kolmogorov_smirnov};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Which images of score files count as rejected.
#[derive(Debug, Clone, PartialEq)]
pub enum Rejection {
    /// Those that the files say are not in-distribution.
    Decisions,
    /// Those with a score below this.
    Threshold {
        /// The threshold, in units of the score.
        threshold: f64,
        /// The detector file that it is from, unless the user gave it.
        detector: Option<String>,
    },
}

/// Two periods of use compared by their score files.
#[derive(Debug)]
pub struct DriftReport {
    score: String,
    rejection: Rejection,
    level: f64,
    reference: Period,
    new: Period,
    drift: Drift,
    verdict: Verdict,
    visible: Visible,
    bins: Bins,
}

/// Below so many images on a side the report warns.
const FEW: usize = 100;

/// Shares of images with errors that differ by more than this are worth a warning.
const ERRORS_DIFFER: f64 = 0.01;

#[derive(Debug)]
struct Period {
    file: String,
    scored: usize,
    errors: usize,
    median: f64,
    rejected: Rate,
    detectors: BTreeSet<DetectorId>,
}

impl Period {
    fn new(file: &Path, column: &ScoreColumn, rejection: &Rejection) -> Result<Self, Error> {
        Ok(Self {
            file: file.display().to_string(),
            scored: column.scores.len(),
            errors: column.errors,
            median: median(&column.scores),
            detectors: column.detectors.clone(),
            rejected: match rejection {
                Rejection::Threshold { threshold, .. } => {
                    Rate::rejected(&column.scores, *threshold)?
                }
                Rejection::Decisions => {
                    let rejected = column.decisions.iter().filter(|kept| !**kept).count();
                    Rate::new(rejected as u64, column.decisions.len() as u64)?
                }
            },
        })
    }

    fn images(&self) -> usize {
        self.scored + self.errors
    }

    fn error_share(&self) -> f64 {
        self.errors as f64 / self.images() as f64
    }

    fn to_json(&self) -> Value {
        json!({
            "file": self.file,
            "images": self.images(),
            "scored": self.scored,
            "errors": self.errors,
            "error_share": self.error_share(),
            "median_score": self.median,
            "rejected": self.rejected.count(),
            "rejection_rate": self.rejected.share(),
            "rejection_rate_ci95": ends(self.rejected.interval()),
        })
    }
}

/// The median.
fn median(scores: &[f64]) -> f64 {
    let mut ascending = scores.to_vec();
    ascending.sort_by(f64::total_cmp);
    let at = |place: usize| ascending.get(place).copied().unwrap_or(f64::NAN);
    let half = ascending.len() / 2;
    match ascending.len() % 2 {
        1 => at(half),
        _ => 0.5 * at(half.saturating_sub(1)) + 0.5 * at(half),
    }
}

/// What the new period must show to be called moved by one test alone.
#[derive(Debug, PartialEq)]
struct Visible {
    /// At most this many rejected images; `None` where not even 0 shows a decrease.
    at_most: Option<u64>,
    /// At least this many rejected images; `None` where not even all show an increase.
    at_least: Option<u64>,
    /// At least this difference of the empirical distribution functions, by Kolmogorov's limit.
    statistic: f64,
}

impl Visible {
    /// By Holm's procedure one test alone passes at half the level.
    fn new(before: Rate, new_images: u64, level: f64) -> Result<Self, Error> {
        let alone = 0.5 * level;
        let moved = |count| -> Result<bool, Error> {
            let after = Rate::new(count, new_images)?;
            Ok(RateChange::between(before, after).p_value <= alone)
        };
        let same = (before.share() * new_images as f64) as u64;
        let images = 1.0 / before.total() as f64 + 1.0 / new_images as f64;
        Ok(Self {
            at_most: first_on_the_way(same, 0, moved)?,
            at_least: first_on_the_way(same, new_images, moved)?,
            statistic: (0.5 * (2.0 / alone).ln() * images).sqrt(),
        })
    }
}

/// The first place from `start` to `end` where a condition holds that, once met, stays met.
fn first_on_the_way<E>(
    start: u64,
    end: u64,
    holds: impl Fn(u64) -> Result<bool, E>,
) -> Result<Option<u64>, E> {
    if !holds(end)? {
        return Ok(None);
    }
    let (mut fails, mut good) = (start, end);
    while fails.abs_diff(good) > 1 {
        let middle = fails.midpoint(good);
        match holds(middle)? {
            true => good = middle,
            false => fails = middle,
        }
    }
    Ok(Some(good))
}

impl DriftReport {
    /// Compares the periods. `score` is the name of the column; `level` is the probability that a
    /// period without any change is called moved.
    ///
    /// # Errors
    /// When a side has no score, a score or the threshold is not finite, or the level is not in
    /// (0, 1).
    pub fn new(
        score: &str,
        rejection: Rejection,
        level: f64,
        reference: (&Path, &ScoreColumn),
        new: (&Path, &ScoreColumn),
    ) -> Result<Self, Error> {
        let scores = kolmogorov_smirnov(&reference.1.scores, &new.1.scores)?;
        let bins = Bins::of(&[&reference.1.scores, &new.1.scores]);
        let reference = Period::new(reference.0, reference.1, &rejection)?;
        let new = Period::new(new.0, new.1, &rejection)?;
        let drift = Drift {
            scores,
            rejections: RateChange::between(reference.rejected, new.rejected),
        };
        Ok(Self {
            score: score.to_string(),
            rejection,
            level,
            verdict: drift.verdict(level)?,
            visible: Visible::new(reference.rejected, new.rejected.total(), level)?,
            reference,
            new,
            drift,
            bins,
        })
    }

    /// Whether the rejection rate or the distribution of the scores has been shown to move.
    pub fn moved(&self) -> bool {
        self.verdict.moved()
    }

    /// What to know before trusting the verdict, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for period in [&self.reference, &self.new] {
            if period.scored < FEW {
                warnings.push(format!(
                    "{} has few images with a score, {}: {}",
                    period.file,
                    period.scored,
                    self.what_is_visible()
                ));
            }
        }
        let (before, after) = (self.reference.error_share(), self.new.error_share());
        if (after - before).abs() > ERRORS_DIFFER {
            warnings.push(format!(
                "of {} {} of the images have errors, of {} {}; these are left out, and what is left may differ for that alone",
                self.reference.file,
                percent(before),
                self.new.file,
                percent(after)
            ));
        }
        warnings.extend(other_detector(
            &self.reference.detectors,
            &self.new.detectors,
        ));
        warnings
    }

    fn what_is_visible(&self) -> String {
        let of = self.new.scored;
        let rate = match self.visible_rates() {
            Some(rates) => format!("among the {of} new ones a rejection rate of {rates}"),
            None => "no rejection rate".to_string(),
        };
        format!(
            "{rate} would be called moved, or scores whose distributions differ by about {:.2} or more",
            self.visible.statistic.min(1.0)
        )
    }

    /// Which rejection rates of the new period would be called moved; none where no rate would.
    fn visible_rates(&self) -> Option<String> {
        let share = |count: u64| percent(count as f64 / self.new.scored as f64);
        match (self.visible.at_most, self.visible.at_least) {
            (None, None) => None,
            (Some(low), None) => Some(format!("{} or less", share(low))),
            (None, Some(high)) => Some(format!("{} or more", share(high))),
            (Some(low), Some(high)) => {
                Some(format!("{} or less, {} or more", share(low), share(high)))
            }
        }
    }

    /// As text for a terminal.
    pub fn to_table(&self) -> String {
        let rejected = match &self.rejection {
            Rejection::Decisions => "as the files decided".to_string(),
            Rejection::Threshold {
                threshold,
                detector: Some(detector),
            } => format!("{} below {threshold} ({detector})", self.score),
            Rejection::Threshold { threshold, .. } => {
                format!("{} below {threshold}", self.score)
            }
        };
        let mut text = String::new();
        for (name, value) in [
            ("Reference", &self.reference.file),
            ("New", &self.new.file),
            ("Score", &self.score),
            ("Rejected", &rejected),
            ("Level", &format!("{} for both tests together", self.level)),
        ] {
            let _ = writeln!(text, "{name:<24}{}", escape(value));
        }
        let _ = write!(text, "\n{}\n{}\n", self.periods(), self.tests());
        let _ = writeln!(text, "{}", self.in_words());
        text
    }

    fn periods(&self) -> String {
        let row = |name: &str, cell: &dyn Fn(&Period) -> String| {
            vec![name.to_string(), cell(&self.reference), cell(&self.new)]
        };
        let head = ["", "Reference", "New"].map(str::to_string);
        let rows = [
            row("Images with a score", &|p| p.scored.to_string()),
            row("Images with an error", &|p| p.errors.to_string()),
            row("Share with an error", &|p| percent(p.error_share())),
            row("Median score", &|p| format!("{:.6}", p.median)),
            row("Rejected", &|p| p.rejected.count().to_string()),
            row("Rejection rate", &|p| percent(p.rejected.share())),
            row("  95 % interval", &|p| {
                let interval = p.rejected.interval();
                format!("{} to {}", percent(interval.lower), percent(interval.upper))
            }),
        ];
        aligned(&head, &rows)
    }

    fn tests(&self) -> String {
        let Drift { rejections, scores } = &self.drift;
        let interval = rejections.interval;
        let moved = |moved| if moved { "moved" } else { "not shown" };
        let head = [
            "Test",
            "difference",
            "95 % interval",
            "p-value",
            "called moved at",
            "",
        ];
        let rows = [
            [
                "Rejection rate (Fisher)".to_string(),
                points(rejections.difference),
                format!("{} to {}", points(interval.lower), points(interval.upper)),
                probability(rejections.p_value),
                self.visible_rates()
                    .unwrap_or_else(|| "no rate".to_string()),
                moved(self.verdict.rejections_moved).to_string(),
            ],
            [
                "Scores (Kolmogorov-Smirnov)".to_string(),
                format!("{:.4}", scores.statistic),
                String::new(),
                probability(scores.p_value),
                format!("about {:.2} or more", self.visible.statistic),
                moved(self.verdict.scores_moved).to_string(),
            ],
        ];
        aligned(&head.map(str::to_string), &rows.map(Vec::from))
    }

    fn in_words(&self) -> String {
        let rejections = match self.drift.rejections.difference > 0.0 {
            true => "more images are rejected",
            false => "fewer images are rejected",
        };
        let (before, after) = (self.reference.median, self.new.median);
        let scores = match before.total_cmp(&after) {
            std::cmp::Ordering::Less => "the score distribution differs, with a higher median",
            std::cmp::Ordering::Equal => {
                "the score distribution differs, with about the same median"
            }
            std::cmp::Ordering::Greater => "the score distribution differs, with a lower median",
        };
        match (self.verdict.rejections_moved, self.verdict.scores_moved) {
            (true, true) => format!("Moved: {rejections}, and {scores}."),
            (true, false) => format!("Moved: {rejections}."),
            (false, true) => format!("Moved: {scores}."),
            (false, false) => {
                "Not shown to have moved; a change within the intervals may be there.".to_string()
            }
        }
    }

    /// As a JSON object; rates are fractions.
    pub fn to_json(&self) -> String {
        let Drift { rejections, scores } = &self.drift;
        let (by, threshold, detector) = match &self.rejection {
            Rejection::Decisions => ("is_in_distribution", None, None),
            Rejection::Threshold {
                threshold,
                detector,
            } => ("threshold", Some(threshold), detector.as_ref()),
        };
        let value = json!({
            "odin_version": env!("CARGO_PKG_VERSION"),
            "reference": self.reference.to_json(),
            "new": self.new.to_json(),
            "score": self.score,
            "rejected_by": by,
            "threshold": threshold,
            "detector": detector,
            "level": self.level,
            "moved": self.moved(),
            "verdict": match self.moved() {
                true => "moved",
                false => "not shown to have moved",
            },
            "rejection_rate": {
                "moved": self.verdict.rejections_moved,
                "difference": rejections.difference,
                "difference_ci95": ends(rejections.interval),
                "p_value": rejections.p_value,
                "called_moved_at_most": self.visible.at_most,
                "called_moved_at_least": self.visible.at_least,
            },
            "scores": {
                "moved": self.verdict.scores_moved,
                "statistic": scores.statistic,
                "p_value": scores.p_value,
                "exact": scores.exact,
                "called_moved_at_about": self.visible.statistic,
            },
            "warnings": self.warnings(),
            "definitions": DEFINITIONS.iter().map(|&(name, text)| (name.to_string(), json!(text))).collect::<serde_json::Map<_, _>>(),
        });
        json::indented(&value)
    }
}

/// What the keys of the JSON mean.
const DEFINITIONS: [(&str, &str); 8] = [
    (
        "errors",
        "images with an error in place of a score; they take part in nothing else",
    ),
    (
        "rejected",
        "images with a score that are not taken for in-distribution: is_in_distribution is false, or the score is below the threshold",
    ),
    ("rejection_rate_ci95", "95 % score interval (Wilson)"),
    (
        "difference",
        "rejection rate of the new period less that of the reference; difference_ci95 is its 95 % interval (Newcombe, method 10)",
    ),
    ("rejection_rate.p_value", "Fisher's exact test, two-sided"),
    (
        "scores",
        "two-sample Kolmogorov-Smirnov test, two-sided; the statistic is the largest difference of the distribution functions; exact tells whether the p-value is, or the limit for many scores",
    ),
    (
        "moved",
        "by Holm's procedure: with no change, the probability that either test says moved is at most level",
    ),
    (
        "called_moved",
        "what the new period, with as many images, must show to be called moved by this test alone: counts of rejected images; the statistic, by its limit for many images",
    ),
];

fn ends(interval: Interval) -> [f64; 2] {
    [interval.lower, interval.upper]
}

/// A difference of rates, in percentage points.
fn points(difference: f64) -> String {
    format!("{:+.1}%", difference * 100.0)
}

fn probability(p: f64) -> String {
    match p {
        p if p >= 0.001 => format!("{p:.3}"),
        p if p > 0.0 => format!("{p:.1e}"),
        _ => "below 1e-300".to_string(),
    }
}
