//! The results of an evaluation as CSV.

use super::report::Report;
use crate::csv::Line;
use crate::terms::POSITIVE_CLASS;
use odin::MetricsMode;
use odin_metrics::Metrics;

pub(super) fn render(report: &Report) -> String {
    let metrics = Metrics::<f64>::default().named().map(|(name, _)| name);
    let mut results = report.results.iter();
    let with_ci = results.any(|r| r.evaluation.odin.ci95.is_some());
    let bounds = with_ci
        .then(|| metrics.map(|name| [format!("{name}_ci95_lower"), format!("{name}_ci95_upper")]));
    let paper = report.mode == MetricsMode::Paper;
    let head = [
        "model",
        "in_dataset",
        "out_dataset",
        "temperature",
        "magnitude",
        "metrics",
        "positive_class",
        "n_in",
        "n_out",
        "score",
    ];
    let mut csv = Line::default()
        .cells(head)
        .cells(metrics)
        .cells(bounds.into_iter().flatten().flatten())
        .cells(paper.then_some("outside_grid"))
        .end();
    for result in &report.results {
        let e = &result.evaluation;
        for (score, measured) in e.named() {
            let intervals = measured.ci95.into_iter().flat_map(Metrics::named);
            let line = Line::default()
                .texts([
                    report.model.as_str(),
                    &report.in_dataset,
                    &result.out_dataset,
                ])
                .cells([report.temperature, result.magnitude])
                .cells([report.mode.as_str(), POSITIVE_CLASS])
                .cells([e.n_in, e.n_out])
                .cell(score)
                .cells(measured.metrics.named().map(|(_, value)| value))
                .cells(intervals.flat_map(|(_, interval)| [interval.lower, interval.upper]))
                .cells(paper.then_some(measured.outside_grid));
            csv.push_str(&line.end());
        }
    }
    csv
}
