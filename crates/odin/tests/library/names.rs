//! Networks whose input, output or layers have names that this library gives itself.

use crate::{noise, pixels};
use odin::{
    Agreement, Classifier, CompileOptions, CompiledDetector, Detector, DetectorInput, Grid, Method,
    ModelConfig, Needs, Normalization, Observation, Scorer, compile,
};
use odin_formats::onnx::{InputType, Labels, write};
use odin_graph::odin::names;
use odin_graph::{Graph, Shape, Tensor, Type};

/// A score that makes the features an output.
#[derive(Debug)]
struct Mean;

impl Scorer for Mean {
    fn name(&self) -> &str {
        "mean"
    }

    fn needs(&self) -> Needs {
        Needs::FEATURES
    }

    fn score(&self, observation: &Observation<'_>) -> f64 {
        observation.features.iter().map(|&h| f64::from(h)).sum()
    }
}

/// The file of a small network, whose layers and constants are called after the input.
fn network(input: &str, output: &str) -> Vec<u8> {
    let mut g = Graph::new();
    let x = g.input(input, Type::float(Shape::batched(&[1, 2, 3])));
    let x = x.unwrap();
    g.at(if input == "x" { output } else { input });
    let matrix = |rows: usize, columns: usize| {
        let weight = |i: usize| ((i * 7 % 11) as f32 - 5.0) / 4.0;
        let data: Vec<f32> = (0..rows * columns).map(weight).collect();
        Tensor::new(vec![rows, columns], data).unwrap()
    };
    let (first, second) = (matrix(6, 5), matrix(5, 4));
    let (first, second) = (g.constant(first).unwrap(), g.constant(second).unwrap());
    let rows = g.flatten(x).unwrap();
    let hidden = g.add(odin_graph::Op::MatMul, &[rows, first]).unwrap();
    let hidden = g.relu(hidden).unwrap();
    let logits = g.add(odin_graph::Op::MatMul, &[hidden, second]).unwrap();
    g.output(output, logits);
    write(&g, InputType::Float, &Labels::default()).unwrap()
}

fn open(bytes: &[u8]) -> Classifier {
    open_with(bytes, None)
}

fn open_with(bytes: &[u8], output: Option<&str>) -> Classifier {
    let mut given = ModelConfig::from(Normalization::new(&[0.4], &[0.5]).unwrap());
    given.output = output.map(str::to_string);
    Classifier::from_bytes(bytes, "net.onnx", given).unwrap()
}

/// All scores of the network, those of every way of computing them.
fn scores(classifier: &Classifier) -> Vec<f64> {
    let images = noise(classifier, 6);
    let builder = || Detector::builder(classifier).i_odin(true).scorer(Mean);
    let detector = builder().build().unwrap();
    let scored = detector.score(&pixels(&images)).unwrap();
    let mut scores: Vec<f64> = scored.iter().flat_map(|s| s.values().to_vec()).collect();
    let grid = Grid::new(&[1.0, 1000.0], &[0.0, 0.002]).unwrap();
    let sweep = builder().sweep(&grid.settings()).unwrap();
    let swept = sweep.score_set(&images, |_| {}).unwrap();
    scores.extend(swept.odin.concat());
    let fitted = Detector::builder(classifier).fit(&[Method::React], Some(&images), |_| {});
    let fitted = Detector::builder(classifier).fitted(fitted.unwrap());
    let scored = fitted.build().unwrap().score(&pixels(&images)).unwrap();
    scores.extend(scored.iter().flat_map(|s| s.values().to_vec()));
    scores
}

fn assert_compiles(classifier: &Classifier, name: &str) {
    let images = pixels(&noise(classifier, 6));
    let folder = tempfile::tempdir().unwrap();
    for input in [
        DetectorInput::Normalized,
        DetectorInput::PixelsF32,
        DetectorInput::PixelsU8,
    ] {
        let options = CompileOptions::default().threshold(0.25).input(input);
        let path = folder.path().join("detector.onnx");
        std::fs::write(&path, compile(classifier, &options).unwrap()).unwrap();
        let compiled = CompiledDetector::open(&path, 1).unwrap();
        let detector = Detector::builder(classifier).build().unwrap();
        let agreement = Agreement::of(&compiled, &detector, &images).unwrap();
        assert!(agreement.holds(1e-5), "{name}: {agreement:?}");
    }
}

#[test]
fn names_of_the_network_do_not_matter() {
    let expected = scores(&open(&network("x", "y")));
    let more = ["temperature.0", "direction.0", "images", "normalized"];
    for name in names::ALL.into_iter().chain(more) {
        for (input, output) in [(name, "y"), ("x", name)] {
            // An output called features is taken for logits only where it is said to be them.
            let named = output.contains("feature").then_some(output);
            let classifier = open_with(&network(input, output), named);
            assert_eq!(scores(&classifier), expected, "{input}, {output}");
            assert_compiles(&classifier, name);
        }
    }
    // A name that would be given instead is taken.
    let classifier = open(&network("step", "step_of_classifier"));
    assert_eq!(scores(&classifier), expected);
    assert_compiles(&classifier, "step");
}
