//! Heat maps of an evaluation, with names for their files.

use super::report::Report;
use crate::plot::{Better, HeatMap};
use crate::terms::score_label;
use odin_metrics::Metrics;

/// With several out-of-distribution sets, every score against every set.
pub(super) fn heat_maps(report: &Report) -> Vec<(String, String)> {
    if report.results.len() < 2 {
        return Vec::new();
    }
    let auroc = |m: &Metrics<f64>| m.auroc;
    let fpr = |m: &Metrics<f64>| m.fpr_at_95_tpr;
    vec![
        (
            "auroc".to_string(),
            heat_map(report, "AUROC", Better::Higher, auroc).to_svg(),
        ),
        (
            "fpr-at-95-tpr".to_string(),
            heat_map(report, "FPR at 95 % TPR", Better::Lower, fpr).to_svg(),
        ),
    ]
}

fn heat_map(
    report: &Report,
    label: &str,
    better: Better,
    of: impl Fn(&Metrics<f64>) -> f64,
) -> HeatMap {
    let named = |place: usize| report.results[place].evaluation.named();
    let scores: Vec<&str> = named(0).map(|(name, _)| name).collect();
    let sets = report.results.iter();
    let row = |place: usize| -> Vec<f64> {
        let values = scores.iter().map(|name| {
            let measured = report.results[place].evaluation.get(name);
            measured.map_or(f64::NAN, |m| 100.0 * of(&m.metrics))
        });
        values.collect()
    };
    HeatMap {
        title: format!("{label}: {}", report.in_dataset),
        value_label: label.to_string(),
        unit: "%".to_string(),
        better,
        x_label: "score".to_string(),
        x: scores
            .iter()
            .map(|name| score_label(name).to_string())
            .collect(),
        y_label: "out-of-distribution set".to_string(),
        y: sets.map(|result| result.out_dataset.clone()).collect(),
        values: (0..report.results.len()).map(row).collect(),
        marked: None,
    }
}
