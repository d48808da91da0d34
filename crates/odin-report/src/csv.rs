use crate::{POSITIVE_CLASS, Report};
use odin::MetricsMode;
use odin_metrics::Metrics;
use std::fmt::Write;

pub(crate) fn render(report: &Report) -> String {
    let metrics = Metrics::<f64>::default().named().map(|(name, _)| name);
    let with_ci = report
        .results
        .iter()
        .any(|r| r.evaluation.odin.ci95.is_some());
    let paper = report.mode == MetricsMode::Paper;
    let bounds = metrics.map(|name| format!(",{name}_ci95_lower,{name}_ci95_upper"));
    let mut csv = format!(
        "model,in_dataset,out_dataset,temperature,magnitude,metrics,positive_class,n_in,n_out,score,{}{}{}\n",
        metrics.join(","),
        if with_ci {
            bounds.concat()
        } else {
            String::new()
        },
        if paper { ",outside_grid" } else { "" }
    );
    for result in &report.results {
        let e = &result.evaluation;
        for (score, measured) in e.named() {
            let (model, in_dataset) = (field(&report.model), field(&report.in_dataset));
            let _ = write!(
                csv,
                "{model},{in_dataset},{},{},{},{},{POSITIVE_CLASS},{},{},{score}",
                field(&result.out_dataset),
                report.temperature,
                result.magnitude,
                report.mode.as_str(),
                e.n_in,
                e.n_out
            );
            for (_, value) in measured.metrics.named() {
                let _ = write!(csv, ",{value}");
            }
            for (_, interval) in measured.ci95.into_iter().flat_map(Metrics::named) {
                let _ = write!(csv, ",{},{}", interval.lower, interval.upper);
            }
            if paper {
                let _ = write!(csv, ",{}", measured.outside_grid);
            }
            csv.push('\n');
        }
    }
    csv
}

/// Quoted where RFC 4180 asks for it.
pub(crate) fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}
