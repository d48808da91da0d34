//! The results of an evaluation as JSON.

use super::report::{Comparison, Report, SetInfo};
use crate::terms::POSITIVE_CLASS;
use crate::{json, measured};
use odin::MetricsMode;
use serde_json::{Map, Value, json};

pub(super) fn render(report: &Report) -> String {
    let results = report.results.iter();
    let results: Vec<Value> = results.map(|r| comparison(r, report.mode)).collect();
    let value = json!({
        "odin_version": env!("CARGO_PKG_VERSION"),
        "model": report.model,
        "architecture": report.network.architecture,
        "network": report.network.to_json(),
        "in_dataset": report.in_dataset,
        "in_set": set(&report.in_set),
        "accuracy": report.accuracy.as_ref().ok(),
        "no_accuracy": report.accuracy.as_ref().err().map(|reason| reason.to_string()),
        "temperature": report.temperature,
        "precision": report.computed_in.precision.as_str(),
        "instructions": report.computed_in.instructions,
        "device": report.device,
        "engine": report.engine,
        "engine_seconds": report.built_in.map(|time| time.as_secs_f64()),
        "metrics": report.mode.as_str(),
        "positive_class": POSITIVE_CLASS,
        "seed": report.seed,
        "warnings": report.warnings,
        "results": results,
    });
    json::indented(&value)
}

fn set(set: &SetInfo) -> Value {
    json!({
        "path": set.path,
        "images": set.images,
        "expected_images": set.expected_images,
        "skipped": set.skipped,
    })
}

fn comparison(comparison: &Comparison, mode: MetricsMode) -> Value {
    let e = &comparison.evaluation;
    let others = e.others.iter();
    let others: Map<String, Value> = others
        .map(|(name, other)| (name.clone(), measured::to_json(other, mode).into()))
        .collect();
    json!({
        "out_dataset": comparison.out_dataset,
        "out_set": set(&comparison.out_set),
        "in_set_shortened": comparison.in_set_shortened,
        "magnitude": comparison.magnitude,
        "n_in": e.n_in,
        "n_out": e.n_out,
        "baseline": measured::to_json(&e.baseline, mode),
        "odin": measured::to_json(&e.odin, mode),
        "others": others,
    })
}
