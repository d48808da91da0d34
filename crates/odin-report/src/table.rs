use crate::json::stand_ins;
use crate::{Comparison, Report};
use odin::Measured;
use std::fmt::Write;

const LABELS: [(&str, &str); 5] = [
    ("FPR at TPR 95%", "FPR95"),
    ("Detection error", "Det. error"),
    ("AUROC", "AUROC"),
    ("AUPR In", "AUPR In"),
    ("AUPR Out", "AUPR Out"),
];

pub(crate) fn render(report: &Report) -> String {
    let mut lines = header(report);
    match &report.results[..] {
        [only] => single(&mut lines, only),
        several => compact(&mut lines, several),
    }
    footnotes(&mut lines, report);
    lines
}

/// A name on the left, a value on the right, as wide as the authors' table.
fn entry(lines: &mut String, name: &str, value: &str) {
    let _ = writeln!(lines, "{:<34}{value:>22}", format!("{name}:"));
}

fn header(report: &Report) -> String {
    let mut lines = String::new();
    entry(
        &mut lines,
        "Neural network architecture",
        &report.network.architecture,
    );
    entry(&mut lines, "In-distribution dataset", &report.in_dataset);
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
    if let Some(accuracy) = report.accuracy {
        entry(
            &mut lines,
            "Accuracy on in-distribution",
            &percent(accuracy),
        );
    }
    entry(&mut lines, "Temperature", &report.temperature.to_string());
    entry(&mut lines, "Metrics", report.mode.as_str());
    entry(&mut lines, "Positive class", crate::POSITIVE_CLASS);
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

fn cells(measured: &Measured) -> [String; 5] {
    let values = measured.metrics.named().map(|(_, value)| value);
    match measured.ci95 {
        None => values.map(percent),
        Some(ci95) => {
            let mut bounds = ci95.named().into_iter();
            values.map(|value| match bounds.next() {
                Some((_, i)) => {
                    let (lower, upper) = (i.lower * 100.0, i.upper * 100.0);
                    format!("{} [{lower:.1}, {upper:.1}]", percent(value))
                }
                None => percent(value),
            })
        }
    }
}

/// One line for each out-set; each metric as baseline and ODIN.
fn compact(lines: &mut String, results: &[Comparison]) {
    let name_width = results
        .iter()
        .map(|r| r.out_dataset.chars().count())
        .max()
        .unwrap_or(0)
        .max(11);
    let with_ci = results.iter().any(|r| r.evaluation.odin.ci95.is_some());
    let width = if with_ci { 44 } else { 16 };
    let mut head = format!(
        "{:<name_width$}  {:>7}  {:>13}",
        "Out-dataset", "ε", "n in/out"
    );
    for (_, short) in LABELS {
        let _ = write!(head, "  {short:>width$}");
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
        for (baseline, odin) in cells(&e.baseline).into_iter().zip(cells(&e.odin)) {
            let _ = write!(lines, "  {:>width$}", format!("{baseline} → {odin}"));
        }
        lines.push('\n');
    }
}

fn footnotes(lines: &mut String, report: &Report) {
    let with_ci = report
        .results
        .iter()
        .any(|r| r.evaluation.odin.ci95.is_some());
    if with_ci {
        let seed = report.seed;
        let _ = writeln!(
            lines,
            "\nIn brackets: 95 % confidence intervals (stratified bootstrap, seed {seed})."
        );
    }
    for result in &report.results {
        let e = &result.evaluation;
        for (name, measured) in [("baseline", &e.baseline), ("ODIN", &e.odin)] {
            let undefined: Vec<&str> = stand_ins(measured).collect();
            if !undefined.is_empty() {
                let (list, out) = (undefined.join(", "), &result.out_dataset);
                let _ = writeln!(
                    lines,
                    "\n{out}, {name}: the paper's procedure does not define {list} for these scores; the exact value is shown."
                );
            }
        }
    }
}

fn percent(fraction: f64) -> String {
    format!("{:.1}%", fraction * 100.0)
}
