//! What the tests share: the fixtures that scripts/checkpoint_fixtures.py wrote, and what
//! PyTorch computes from them.

use std::path::PathBuf;

use odin_formats::Checkpoint;
use odin_graph::{Array, Graph, Real, interpret};
use serde_json::Value;

pub(crate) fn fixture_path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file)
}

pub(crate) fn fixture(file: &str) -> Vec<u8> {
    std::fs::read(fixture_path(file)).expect(file)
}

pub(crate) fn open_fixture(file: &str) -> Checkpoint {
    Checkpoint::open(fixture_path(file)).expect(file)
}

/// The content of expected.json.
pub(crate) fn expected() -> Value {
    serde_json::from_slice(&fixture("expected.json")).expect("expected.json")
}

/// The models of expected.json: name and entry.
pub(crate) fn models(expected: &Value) -> Vec<(&str, &Value)> {
    let models = expected["models"].as_object().expect("models");
    models.iter().map(|(k, v)| (k.as_str(), v)).collect()
}

/// The files with a model's weights.
pub(crate) fn files(model: &Value) -> Vec<&str> {
    let files = model["files"].as_array().expect("files");
    files.iter().map(|f| f.as_str().expect("a file")).collect()
}

pub(crate) fn floats(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(floats).collect(),
        number => vec![number.as_f64().expect("a number")],
    }
}

/// The first output of a graph of one input.
pub(crate) fn run<T: Real>(graph: &Graph, shape: &[usize], data: Vec<T>) -> Vec<T> {
    let x = Array::new(shape.to_vec(), data);
    let outputs = interpret(graph, &[(odin_formats::zoo::INPUT, x)]).expect("interpret");
    outputs[0].floats().to_vec()
}

/// The largest difference, relative to the largest expected number.
pub(crate) fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let differences = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    differences.fold(0.0, f64::max) / scale
}
