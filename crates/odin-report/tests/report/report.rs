//! What reports say of numbers that need a word.

use odin::{Classifier, ClassifierOptions, Detector, Intervals, MetricsMode, Setting, evaluate};
use odin_data::NoiseKind;
use odin_report::{Comparison, ComputedIn, Network, Report, SetInfo};
use std::path::Path;

/// Noise against noise; `outside` of ODIN's scores lie outside of the paper's thresholds.
fn report(outside: usize, mode: MetricsMode, intervals: Option<Intervals>) -> Report {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/model.safetensors");
    let classifier = Classifier::open(&model, ClassifierOptions::default()).unwrap();
    let setting = Setting::new(1000.0, 0.0).unwrap();
    let builder = Detector::builder(&classifier).setting(setting);
    let detector = builder.build().unwrap();
    let scored = |kind| {
        let images = classifier.noise(kind, 12, 0).unwrap();
        detector.score_set(&images, |_| {}).unwrap()
    };
    let (in_set, out_set) = (scored(NoiseKind::Uniform), scored(NoiseKind::Gaussian));
    let mut evaluation = evaluate(&detector, &in_set, &out_set, mode, intervals).unwrap();
    evaluation.odin.outside_grid = outside;
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
        computed_in: ComputedIn::from(&detector),
        device: detector.device().to_string(),
        engine: detector.engine(),
        built_in: None,
        mode,
        seed: 0,
        warnings: Vec::new(),
        results: vec![result("one"), result("two")],
    }
}

#[test]
fn scores_outside_of_the_papers_thresholds_are_reported() {
    for (mode, outside) in [
        (MetricsMode::Paper, Some(24)),
        (MetricsMode::Paper, Some(0)),
        (MetricsMode::Exact, None),
    ] {
        let report = report(outside.unwrap_or(0) as usize, mode, None);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let in_json = json.pointer("/results/0/odin/outside_grid");
        assert_eq!(in_json.and_then(|v| v.as_u64()), outside, "{mode:?}");
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
    let table = report(0, MetricsMode::Paper, Some(intervals)).to_table();
    let grid = table
        .lines()
        .filter(|line| !line.contains(". ") && !line.contains("; "));
    for line in grid {
        assert!(line.chars().count() <= 130, "{line}");
    }
    assert_eq!(table.matches("does not define FPR95").count(), 1, "{table}");
    assert_eq!(table.matches("In brackets").count(), 1, "{table}");
}
