//! What reports say of measured scores: cells of tables, JSON, CSV, and notes on the numbers.

use crate::csv::Line;
use crate::terms::{LABELS, percent};
use odin::{Measured, MetricsMode};
use odin_metrics::Metrics;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Values, each with its interval where there are any.
pub(crate) fn cells(measured: &Measured) -> [String; 5] {
    let mut cells = values(measured);
    let intervals = intervals(measured).into_iter().flatten();
    for (cell, interval) in cells.iter_mut().zip(intervals) {
        let _ = write!(cell, " {interval}");
    }
    cells
}

pub(crate) fn values(measured: &Measured) -> [String; 5] {
    measured.metrics.named().map(|(_, value)| percent(value))
}

pub(crate) fn intervals(measured: &Measured) -> Option<[String; 5]> {
    let intervals = measured.ci95?.named();
    Some(intervals.map(|(_, i)| format!("[{:.1}, {:.1}]", i.lower * 100.0, i.upper * 100.0)))
}

/// The metrics and what belongs to them, by their keys.
pub(crate) fn to_json(measured: &Measured, mode: MetricsMode) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in measured.metrics.named() {
        object.insert(name.to_string(), json!(value));
    }
    if let Some(ci95) = measured.ci95 {
        let bounds = ci95
            .named()
            .map(|(name, i)| (name.to_string(), json!([i.lower, i.upper])));
        object.insert(
            "ci95".to_string(),
            Value::Object(bounds.into_iter().collect()),
        );
    }
    if mode == MetricsMode::Paper {
        object.insert("outside_grid".to_string(), json!(measured.outside_grid));
    }
    let stand_ins: Vec<&str> = stand_ins(measured).collect();
    if !stand_ins.is_empty() {
        object.insert("exact_instead".to_string(), json!(stand_ins));
    }
    object
}

/// The metrics that the paper's procedure left undefined.
fn stand_ins(measured: &Measured) -> impl Iterator<Item = &'static str> {
    let flagged = measured.exact_instead.named().into_iter();
    flagged.filter(|(_, flag)| *flag).map(|(name, _)| name)
}

/// The columns of metrics in CSV, which all lines have alike.
pub(crate) struct CsvColumns {
    with_ci: bool,
    paper: bool,
}

impl CsvColumns {
    pub(crate) fn new(mode: MetricsMode, with_ci: bool) -> Self {
        Self {
            with_ci,
            paper: mode == MetricsMode::Paper,
        }
    }

    /// Ends the head.
    pub(crate) fn head(&self, line: Line) -> Line {
        let names = Metrics::<f64>::default().named().map(|(name, _)| name);
        let bounds = |name| [format!("{name}_ci95_lower"), format!("{name}_ci95_upper")];
        let bounds = self.with_ci.then(|| names.map(bounds));
        line.cells(names)
            .cells(bounds.into_iter().flatten().flatten())
            .cells(self.paper.then_some("outside_grid"))
    }

    /// Ends a line.
    pub(crate) fn cells(&self, line: Line, measured: &Measured) -> Line {
        let intervals = measured.ci95.into_iter().flat_map(Metrics::named);
        line.cells(measured.metrics.named().map(|(_, value)| value))
            .cells(intervals.flat_map(|(_, interval)| [interval.lower, interval.upper]))
            .cells(self.paper.then_some(measured.outside_grid))
    }
}

/// What was measured of one score, and what notes call it.
pub(crate) struct Labelled<'a> {
    /// Such as `iSUN (ODIN)`.
    pub(crate) label: String,
    pub(crate) measured: &'a Measured,
    /// The number of its values on both sides.
    pub(crate) count: usize,
}

/// What the reader of a table should know of its numbers, one sentence or two each.
pub(crate) fn notes(scores: &[Labelled<'_>], seed: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if scores.iter().any(|score| score.measured.ci95.is_some()) {
        notes.push(format!(
            "In brackets: 95 % confidence intervals (stratified bootstrap, seed {seed})."
        ));
    }
    notes.extend(undefined(scores));
    notes.extend(outside_grid(scores));
    notes
}

/// One note for all scores with the same gaps.
fn undefined(scores: &[Labelled<'_>]) -> Vec<String> {
    let mut gaps: Vec<(String, Vec<&str>)> = Vec::new();
    for score in scores {
        let flags = score.measured.exact_instead.named();
        let labels = LABELS.iter().zip(flags).filter(|(_, (_, flag))| *flag);
        let labels: Vec<&str> = labels.map(|((_, short), _)| *short).collect();
        let labels = labels.join(", ");
        match gaps.iter_mut().find(|(known, _)| *known == labels) {
            _ if labels.is_empty() => {}
            Some((_, names)) => names.push(&score.label),
            None => gaps.push((labels, vec![&score.label])),
        }
    }
    let notes = gaps.into_iter().map(|(labels, names)| {
        let names = names.join(", ");
        format!(
            "The paper's procedure does not define {labels} for the scores of {names}; the exact value is shown."
        )
    });
    notes.collect()
}

fn outside_grid(scores: &[Labelled<'_>]) -> Option<String> {
    let outside = scores.iter().filter(|s| s.measured.outside_grid > 0);
    let scores = outside.map(|s| format!("{} {} of {}", s.label, s.measured.outside_grid, s.count));
    let scores: Vec<String> = scores.collect();
    (!scores.is_empty()).then(|| {
        let scores = scores.join(", ");
        format!(
            "Scores outside of the paper's thresholds, which cannot tell them apart: {scores}. Where these are many, the values mean nothing; see --metrics exact."
        )
    })
}
