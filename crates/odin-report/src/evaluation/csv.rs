//! The results of an evaluation as CSV.

use super::report::Report;
use crate::csv::Line;
use crate::measured::CsvColumns;
use crate::terms::POSITIVE_CLASS;

pub(super) fn render(report: &Report) -> String {
    let mut results = report.results.iter();
    let with_ci = results.any(|r| r.evaluation.odin.ci95.is_some());
    let columns = CsvColumns::new(report.mode, with_ci);
    let head = [
        "model",
        "in_dataset",
        "out_dataset",
        "temperature",
        "magnitude",
        "precision",
        "metrics",
        "positive_class",
        "n_in",
        "n_out",
        "score",
    ];
    let mut csv = columns.head(Line::default().cells(head)).end();
    for result in &report.results {
        let e = &result.evaluation;
        for (score, measured) in e.named() {
            let line = Line::default()
                .texts([
                    report.model.as_str(),
                    &report.in_dataset,
                    &result.out_dataset,
                ])
                .cells([report.temperature, result.magnitude])
                .cell(report.computed_in.precision)
                .cells([report.mode.as_str(), POSITIVE_CLASS])
                .cells([e.n_in, e.n_out])
                .cell(score);
            csv.push_str(&columns.cells(line, measured).end());
        }
    }
    csv
}
