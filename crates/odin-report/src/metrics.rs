//! The report of `odin metrics`.

use crate::columns::{aligned, entry};
use crate::csv::Line;
use crate::json;
use crate::measured::{self, CsvColumns, Labelled, cells};
use crate::score_file::{ScoreColumn, other_detector};
use crate::terms::{LABELS, POSITIVE_CLASS, counted, percent};
use odin::{Measured, MetricsMode};
use odin_error::escape;
use serde_json::{Value, json};
use std::fmt::Write;

/// The metrics of scores in files: one of in-distribution images, told from one or more of
/// out-of-distribution images.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsReport {
    /// The in-distribution file.
    pub in_file: String,
    /// The definition of the metrics.
    pub mode: MetricsMode,
    /// The number of classes by which the paper's thresholds go, where given.
    pub classes: Option<usize>,
    /// The temperature by which the paper's thresholds go, where given.
    pub temperature: Option<f64>,
    /// Whether high scores mean out-of-distribution in the files, so that they were negated.
    pub negated: bool,
    /// The seed of resampling.
    pub seed: u64,
    /// One entry for each out-of-distribution file.
    pub results: Vec<FileMetrics>,
}

/// The result for one out-of-distribution file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileMetrics {
    /// The out-of-distribution file.
    pub out_file: String,
    /// One entry for each score.
    pub scores: Vec<ScoreMetrics>,
}

/// The result for one score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreMetrics {
    score: String,
    in_side: Side,
    out_side: Side,
    measured: Measured,
    same_scores: bool,
    other_detector: Option<String>,
}

/// The images of one file.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Side {
    scored: usize,
    errors: usize,
}

impl Side {
    fn of(column: &ScoreColumn) -> Self {
        Self {
            scored: column.scores.len(),
            errors: column.errors,
        }
    }
}

/// Below this AUROC the sides are probably swapped.
const SWAPPED: f64 = 0.35;

impl ScoreMetrics {
    /// What was measured of a score of this name in two files.
    pub fn new(
        score: &str,
        in_scores: &ScoreColumn,
        out_scores: &ScoreColumn,
        measured: Measured,
    ) -> Self {
        Self {
            score: score.to_string(),
            in_side: Side::of(in_scores),
            out_side: Side::of(out_scores),
            measured,
            same_scores: ascending(in_scores) == ascending(out_scores),
            other_detector: other_detector(&in_scores.detectors, &out_scores.detectors),
        }
    }
}

fn ascending(column: &ScoreColumn) -> Vec<f64> {
    let mut scores = column.scores.clone();
    scores.sort_by(f64::total_cmp);
    scores
}

impl FileMetrics {
    fn auroc_first(&self) -> Vec<&ScoreMetrics> {
        let mut scores: Vec<&ScoreMetrics> = self.scores.iter().collect();
        let auroc = |score: &ScoreMetrics| score.measured.metrics.auroc;
        scores.sort_by(|a, b| auroc(b).total_cmp(&auroc(a)));
        scores
    }
}

impl MetricsReport {
    /// Likely mistakes, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let suspicions = self.results.iter().flat_map(|result| {
            let suspicions = self.suspicions(result).into_iter();
            suspicions.map(|s| escape(&format!("{}, {}: {s}", self.in_file, result.out_file)))
        });
        suspicions.collect()
    }

    fn suspicions(&self, result: &FileMetrics) -> Vec<String> {
        let scores = || result.scores.iter();
        let mut suspicions = Vec::new();
        if scores().any(|score| score.same_scores) {
            let same = "both files have exactly the same scores: are they of the same images?";
            suspicions.push(same.to_string());
        }
        let swapped = scores().filter(|score| score.measured.metrics.auroc < SWAPPED);
        let swapped = swapped.map(|s| format!("{} {}", s.score, percent(s.measured.metrics.auroc)));
        let swapped: Vec<String> = swapped.collect();
        if !swapped.is_empty() {
            let negate = match self.negated {
                true => "mean in-distribution, so that --negate is wrong",
                false => "mean out-of-distribution (then --negate)",
            };
            suspicions.push(format!(
                "the out-of-distribution images score higher (AUROC: {}): are the files swapped, or do high scores {negate}?",
                swapped.join(", ")
            ));
        }
        suspicions.extend(scores().find_map(|score| score.other_detector.clone()));
        suspicions
    }

    /// The results as a table, a line for each score.
    pub fn to_table(&self) -> String {
        let mut text = self.header();
        text.push_str(&self.rows());
        let footnotes = self.left_out().into_iter();
        for note in footnotes.chain(measured::notes(&self.labelled(), self.seed)) {
            let _ = writeln!(text, "\n{}", escape(&note));
        }
        text
    }

    fn header(&self) -> String {
        let mut lines = String::new();
        let mut say = |name: &str, value: &str| entry(&mut lines, name, value);
        say("In-distribution scores", &self.in_file);
        if let [only] = &self.results[..] {
            say("Out-of-distribution scores", &only.out_file);
        }
        say("Metrics", self.mode.as_str());
        if let Some(classes) = self.classes {
            say("Classes", &classes.to_string());
        }
        if let Some(temperature) = self.temperature {
            say("Temperature", &temperature.to_string());
        }
        say("Positive class", POSITIVE_CLASS);
        match self.negated {
            true => say("High scores mean", "out-of-distribution; negated"),
            false => say("High scores mean", POSITIVE_CLASS),
        }
        lines.push('\n');
        lines
    }

    fn rows(&self) -> String {
        let labels = LABELS.map(|(_, short)| short);
        let head = ["Best AUROC first", "n in/out"].into_iter().chain(labels);
        let head: Vec<String> = head.map(str::to_string).collect();
        let mut rows = Vec::new();
        for result in &self.results {
            if self.results.len() > 1 {
                rows.push(vec![result.out_file.clone()]);
            }
            rows.extend(result.auroc_first().into_iter().map(|score| {
                let counts = format!("{}/{}", score.in_side.scored, score.out_side.scored);
                let names = [score.score.clone(), counts].into_iter();
                names.chain(cells(&score.measured)).collect()
            }));
        }
        aligned(&head, &rows)
    }

    /// How many images of each file have no score, one note for all scores that lack as many.
    fn left_out(&self) -> Vec<String> {
        let mut gaps: Vec<(&str, usize, Vec<&str>)> = Vec::new();
        let mut add = |file, side: Side, score| match gaps
            .iter_mut()
            .find(|(known, errors, _)| (*known, *errors) == (file, side.errors))
        {
            _ if side.errors == 0 => {}
            Some((_, _, scores)) if scores.contains(&score) => {}
            Some((_, _, scores)) => scores.push(score),
            None => gaps.push((file, side.errors, vec![score])),
        };
        for result in &self.results {
            for score in &result.scores {
                add(self.in_file.as_str(), score.in_side, score.score.as_str());
                add(&result.out_file, score.out_side, &score.score);
            }
        }
        let notes = gaps.into_iter().map(|(file, errors, scores)| {
            let (images, scores) = (counted(errors, "image"), scores.join(", "));
            format!("{file}: left out for want of a score ({scores}): {images}.")
        });
        notes.collect()
    }

    fn labelled(&self) -> Vec<Labelled<'_>> {
        let mut all = Vec::new();
        for result in &self.results {
            all.extend(result.scores.iter().map(|score| Labelled {
                label: format!("{} ({})", result.out_file, score.score),
                measured: &score.measured,
                count: score.in_side.scored + score.out_side.scored,
            }));
        }
        all
    }

    /// The results as a JSON object; rates are fractions.
    pub fn to_json(&self) -> String {
        let results = self.results.iter().flat_map(|result| {
            let scores = result.scores.iter();
            scores.map(|score| self.score_to_json(&result.out_file, score))
        });
        let results: Vec<Value> = results.collect();
        json::indented(&json!({
            "odin_version": env!("CARGO_PKG_VERSION"),
            "in_file": self.in_file,
            "metrics": self.mode.as_str(),
            "classes": self.classes,
            "temperature": self.temperature,
            "positive_class": POSITIVE_CLASS,
            "negated": self.negated,
            "seed": self.seed,
            "results": results,
        }))
    }

    fn score_to_json(&self, out_file: &str, score: &ScoreMetrics) -> Value {
        let mut object = json!({
            "out_file": out_file,
            "score": score.score,
            "n_in": score.in_side.scored,
            "n_out": score.out_side.scored,
            "errors_in": score.in_side.errors,
            "errors_out": score.out_side.errors,
        });
        if let Value::Object(object) = &mut object {
            object.extend(measured::to_json(&score.measured, self.mode));
        }
        object
    }

    /// The results as CSV with a header, a line for each file and score; rates are fractions.
    pub fn to_csv(&self) -> String {
        let mut scores = self.results.iter().flat_map(|result| &result.scores);
        let with_ci = scores.any(|score| score.measured.ci95.is_some());
        let columns = CsvColumns::new(self.mode, with_ci);
        let head = [
            "in_file",
            "out_file",
            "metrics",
            "positive_class",
            "negated",
            "n_in",
            "n_out",
            "score",
        ];
        let mut csv = columns.head(Line::default().cells(head)).end();
        for result in &self.results {
            for score in &result.scores {
                let line = Line::default()
                    .texts([self.in_file.as_str(), &result.out_file])
                    .cells([self.mode.as_str(), POSITIVE_CLASS])
                    .cell(self.negated)
                    .cells([score.in_side.scored, score.out_side.scored])
                    .text(&score.score);
                csv.push_str(&columns.cells(line, &score.measured).end());
            }
        }
        csv
    }
}
