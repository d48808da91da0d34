//! AdaSCALE and the scores of the feature map on the demonstration network, from its images on,
//! against PyTorch's gradients and the formulas of the papers (`scripts/activation_fixtures.py`).

use crate::{demo, open, refused};
use odin::{Detector, ErrorKind, Grid, Method, Parameters, TrainingSummary};
use serde_json::Value;
use std::path::Path;

const TRAINING: usize = 60;
const EACH: usize = 12;

/// Parameters, methods, and for each method the scores of the first images of both sets.
fn cases() -> Vec<(Parameters, Vec<Method>, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/activation_scores.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let case = |case: &Value| {
        let mut parameters = Parameters::default();
        let texts = case["parameters"].as_array().unwrap().iter();
        let methods = texts.map(|text| parameters.read(text.as_str().unwrap()).unwrap());
        let methods = methods.collect();
        (parameters, methods, case["scores"].clone())
    };
    cases.iter().map(case).collect()
}

/// The engine computes in f32; PyTorch's f64 chooses the same pixels, with margins that the script
/// prints.
fn check(name: &str, scores: &[f64], expected: &Value) {
    let expected = expected.as_array().unwrap();
    assert_eq!(scores.len(), expected.len(), "{name}");
    for (i, (score, expected)) in scores.iter().zip(expected).enumerate() {
        let expected = expected.as_f64().unwrap();
        let difference = (score - expected).abs();
        let allowed = 1e-5 * expected.abs().max(1.0);
        assert!(
            difference <= allowed,
            "{name}, image {i}: {score} {expected}"
        );
    }
}

#[test]
fn scores_are_those_of_pytorch() {
    let classifier = open(demo("model.safetensors"));
    let images = |name: &str, count: usize| {
        let images = classifier.open_images(demo(name)).unwrap();
        images.range(0..count)
    };
    let training = images("validation.npy", TRAINING);
    for (parameters, methods, expected) in cases() {
        let builder = Detector::builder(&classifier).parameters(parameters);
        let fitted = builder.clone().fit(&methods, Some(&training), |_| {});
        let builder = builder.fitted(fitted.unwrap());
        let detector = builder.clone().build().unwrap();
        let statistics = detector.statistics().unwrap();
        let restored = builder.restore(&methods, &statistics).unwrap();
        let without_odin = Detector::builder(&classifier).fitted(restored).odin(false);
        let without_odin = without_odin.build().unwrap();
        let grid = Grid::new(&[1.0, 1000.0], &[0.0, 0.01]).unwrap();
        let sweep = builder.sweep(&grid.settings()).unwrap();
        let mut by = vec![Vec::new(); methods.len()];
        for set in ["in.npy", "near.npy"] {
            let images = images(set, EACH);
            let scored = detector.score_set(&images, |_| {}).unwrap();
            let again = without_odin.score_set(&images, |_| {}).unwrap();
            let swept = sweep.score_set(&images, |_| {}).unwrap();
            for (i, method) in methods.iter().enumerate() {
                let scores = scored.scores(method.name()).unwrap();
                assert_eq!(scores, again.scores(method.name()).unwrap(), "{method}");
                assert_eq!(scores, swept.others[i], "{method}");
                by[i].extend(scores);
            }
        }
        for (method, scores) in methods.iter().zip(&by) {
            check(method.name(), scores, &expected[method.name()]);
        }
    }
}

#[test]
fn summaries_of_parts_fit_as_all_images() {
    let classifier = open(demo("model.safetensors"));
    let training = classifier.open_images(demo("validation.npy")).unwrap();
    let methods = [Method::AdaScaleA, Method::AdaScaleL, Method::ReactMap];
    let mut parameters = Parameters::default();
    parameters.adascale_o = 0.1;
    let builder = Detector::builder(&classifier).parameters(parameters);
    let summary = |range| {
        let builder = builder.clone().batch_size(7);
        let summary = builder.summarize(&methods, &training.range(range), |_| {});
        TrainingSummary::from_bytes(&summary.unwrap().to_bytes()).unwrap()
    };
    let mut merged = summary(20..50);
    merged.merge(&summary(0..20)).unwrap();
    let statistics = |fitted| {
        let builder = builder.clone().fitted(fitted);
        builder.build().unwrap().statistics().unwrap()
    };
    let parts = builder.clone().fit_summary(&methods, &merged).unwrap();
    let whole = training.range(0..50);
    let whole = builder.clone().fit(&methods, Some(&whole), |_| {}).unwrap();
    assert_eq!(statistics(parts), statistics(whole));

    let others = Detector::builder(&classifier).fit_summary(&methods, &merged);
    refused(others, ErrorKind::Scores, &["o = 0.1", "o = 0.05"]);
}

#[test]
fn scores_that_shift_differently_are_refused_together() {
    let classifier = open(demo("model.safetensors"));
    let training = classifier.open_images(demo("validation.npy")).unwrap();
    let fitted = |method: Method, epsilon: f64| {
        let mut parameters = Parameters::default();
        parameters.adascale_epsilon = epsilon;
        let builder = Detector::builder(&classifier).parameters(parameters);
        let training = training.range(0..20);
        builder.fit(&[method], Some(&training), |_| {}).unwrap()
    };
    let both = [
        fitted(Method::AdaScaleA, 0.5),
        fitted(Method::AdaScaleL, 0.25),
    ];
    let builder = Detector::builder(&classifier).fitted(both.into_iter().flatten());
    refused(
        builder.build(),
        ErrorKind::Scores,
        &["epsilon = 0.5", "epsilon = 0.25"],
    );
}

/// A network without a feature map has the other scores all the same.
#[test]
fn a_network_without_pooling_says_so() {
    let classifier = open(crate::fixture("onnx/vgg.torchscript9.onnx"));
    let methods = [
        Method::AshMap,
        Method::Energy,
        Method::Scale,
        Method::RankFeat,
    ];
    let builder = Detector::builder(&classifier);
    let each = builder.clone().fit_each(&methods, None, |_| {}).unwrap();
    assert!(each[1].is_ok() && each[2].is_ok());
    for lacking in [&each[0], &each[3]] {
        let parts = ["the feature map before pooling", "choose others"];
        refused(lacking.clone(), ErrorKind::Classifier, &parts);
    }
    let fitted = builder.fit(&methods, None, |_| {});
    refused(
        fitted,
        ErrorKind::Classifier,
        &["no mean over the positions"],
    );
}
