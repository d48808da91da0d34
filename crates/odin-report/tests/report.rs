//! What reports say of numbers that need a word.

// Clippy lets only functions marked as tests unwrap, not their helpers.
#![allow(clippy::unwrap_used)]

use odin::{Classifier, ClassifierOptions, Detector, Images, Intervals, MetricsMode, evaluate};
use odin_data::{NoiseKind, noise};
use odin_report::{Comparison, Network, Report, SetInfo};
use std::path::Path;

/// Noise against noise, as a network of `classes` classes would be measured.
fn report(classes: usize, mode: MetricsMode, intervals: Option<Intervals>) -> Report {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/model.safetensors");
    let classifier = Classifier::open(&model, ClassifierOptions::default()).unwrap();
    let detector = Detector::builder(&classifier).build().unwrap();
    let scored = |kind| {
        let set = noise(kind, 1, 8, 8, 12, 0).unwrap();
        detector.score_set(&Images::all(&set), 0.0, |_| {}).unwrap()
    };
    let (in_set, out_set) = (scored(NoiseKind::Uniform), scored(NoiseKind::Gaussian));
    let evaluation = evaluate(&in_set, &out_set, classes, 1000.0, mode, intervals).unwrap();
    let result = |name: &str| Comparison {
        out_dataset: name.to_string(),
        out_set: SetInfo::default(),
        in_set_shortened: false,
        magnitude: 0.0,
        evaluation: evaluation.clone(),
    };
    Report {
        model: "demo".to_string(),
        network: Network::from(&classifier),
        in_dataset: "in".to_string(),
        in_set: SetInfo::default(),
        accuracy: in_set.accuracy(&classifier),
        temperature: 1000.0,
        device: detector.device().to_string(),
        engine: detector.engine(),
        mode,
        seed: 0,
        results: vec![result("one"), result("two")],
    }
}

/// The scores of six classes, about 1/6, lie beyond the thresholds for ten, up to 0.12.
#[test]
fn scores_outside_of_the_papers_thresholds_are_reported() {
    for (classes, mode, outside) in [
        (10, MetricsMode::Paper, Some(24)),
        (6, MetricsMode::Paper, Some(0)),
        (10, MetricsMode::Exact, None),
    ] {
        let report = report(classes, mode, None);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let in_json = json.pointer("/results/0/odin/outside_grid");
        assert_eq!(in_json.and_then(|v| v.as_u64()), outside, "{classes}");
        let csv = report.to_csv();
        let in_csv = csv.lines().next().unwrap().ends_with(",outside_grid");
        assert_eq!(in_csv, outside.is_some(), "{csv}");
        let table = report.to_table();
        let noted = table.contains("one (ODIN) 24 of 24");
        assert_eq!(noted, outside == Some(24), "{table}");
    }
}

#[test]
fn tables_stay_narrow_and_say_everything_once() {
    let intervals = Intervals::new(40, 0, 1);
    let table = report(6, MetricsMode::Paper, Some(intervals)).to_table();
    let grid = table
        .lines()
        .filter(|line| !line.contains(". ") && !line.contains("; "));
    for line in grid {
        assert!(line.chars().count() <= 130, "{line}");
    }
    assert_eq!(table.matches("does not define FPR95").count(), 1, "{table}");
    assert_eq!(table.matches("In brackets").count(), 1, "{table}");
}
