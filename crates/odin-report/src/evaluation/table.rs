//! The results of an evaluation as a table.

use super::footnotes::footnotes;
use super::report::{Comparison, Report};
use crate::columns::{aligned, entry};
use crate::measured::{cells, intervals, values};
use crate::terms::{LABELS, POSITIVE_CLASS, percent};
use odin::Measured;
use std::fmt::Write;

pub(super) fn render(report: &Report) -> String {
    let mut lines = header(report);
    let has_others = |r: &Comparison| !r.evaluation.others.is_empty();
    match &report.results[..] {
        results if results.iter().any(has_others) => detectors(&mut lines, results),
        [only] => single(&mut lines, only),
        several => compact(&mut lines, several),
    }
    for footnote in footnotes(report) {
        let _ = writeln!(lines, "\n{footnote}");
    }
    lines
}

/// The width of a metric's column.
const COLUMN: usize = 16;

fn header(report: &Report) -> String {
    let mut lines = String::new();
    entry(
        &mut lines,
        "Neural network architecture",
        &report.network.architecture,
    );
    entry(&mut lines, "In-distribution dataset", &report.in_dataset);
    if let Ok(accuracy) = report.accuracy {
        entry(
            &mut lines,
            "Accuracy on in-distribution",
            &percent(accuracy),
        );
    }
    if let [only] = &report.results[..] {
        entry(&mut lines, "Out-of-distribution dataset", &only.out_dataset);
        let e = &only.evaluation;
        entry(
            &mut lines,
            "Images, in / out",
            &format!("{} / {}", e.n_in, e.n_out),
        );
        entry(&mut lines, "Magnitude", &only.magnitude.to_string());
    }
    entry(&mut lines, "Temperature", &report.temperature.to_string());
    entry(&mut lines, "Precision", &report.computed_in.to_string());
    entry(&mut lines, "Metrics", report.mode.as_str());
    entry(&mut lines, "Positive class", POSITIVE_CLASS);
    lines.push('\n');
    lines
}

fn single(lines: &mut String, result: &Comparison) {
    let e = &result.evaluation;
    let with_ci = e.odin.ci95.is_some();
    let width = if with_ci { 26 } else { 15 };
    let _ = writeln!(lines, "{:<20}{:>width$}{:>width$}", "", "Baseline", "ODIN");
    let (baseline, odin) = (cells(&e.baseline), cells(&e.odin));
    for ((label, baseline), odin) in LABELS.iter().zip(baseline).zip(odin) {
        let _ = writeln!(
            lines,
            "{:<20}{baseline:>width$}{odin:>width$}",
            format!("{}:", label.0)
        );
    }
}

/// A line for each score, under the name of each out-set, those of the largest AUROC first.
fn detectors(lines: &mut String, results: &[Comparison]) {
    let short = LABELS.map(|(_, short)| short.to_string());
    let head: Vec<String> = std::iter::once("Best AUROC first".to_string())
        .chain(short)
        .collect();
    let mut rows = Vec::new();
    for result in results {
        if results.len() > 1 {
            let (name, e) = (&result.out_dataset, &result.evaluation);
            rows.push(vec![format!("{name} ({} in, {} out)", e.n_in, e.n_out)]);
        }
        let mut scores: Vec<(&str, &Measured)> = result.evaluation.named().collect();
        scores.sort_by(|(_, a), (_, b)| b.metrics.auroc.total_cmp(&a.metrics.auroc));
        for (name, measured) in scores {
            rows.push(
                std::iter::once(name.to_string())
                    .chain(cells(measured))
                    .collect(),
            );
        }
    }
    lines.push_str(&aligned(&head, &rows));
}

/// One line for each out-set, each metric as baseline and ODIN; the intervals below it.
fn compact(lines: &mut String, results: &[Comparison]) {
    let name_width = results
        .iter()
        .map(|r| r.out_dataset.chars().count())
        .max()
        .unwrap_or(0)
        .max(11);
    let mut head = format!(
        "{:<name_width$}  {:>7}  {:>13}",
        "Out-dataset", "ε", "n in/out"
    );
    for (_, short) in LABELS {
        let _ = write!(head, "  {short:>COLUMN$}");
    }
    let _ = writeln!(lines, "Each metric: baseline → ODIN\n\n{head}");
    let _ = writeln!(lines, "{}", "-".repeat(head.chars().count()));
    for result in results {
        let e = &result.evaluation;
        let counts = format!("{}/{}", e.n_in, e.n_out);
        let name = &result.out_dataset;
        let _ = write!(
            lines,
            "{name:<name_width$}  {:>7}  {counts:>13}",
            result.magnitude
        );
        for (baseline, odin) in values(&e.baseline).into_iter().zip(values(&e.odin)) {
            let _ = write!(lines, "  {:>COLUMN$}", format!("{baseline} → {odin}"));
        }
        lines.push('\n');
        let indent = name_width + 24;
        for (score, measured) in [("baseline", &e.baseline), ("ODIN", &e.odin)] {
            if let Some(intervals) = intervals(measured) {
                let _ = write!(lines, "{score:>indent$}");
                for interval in intervals {
                    let _ = write!(lines, "  {interval:>COLUMN$}");
                }
                lines.push('\n');
            }
        }
    }
}
