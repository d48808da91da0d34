//! Files that are put together node by node, quantised, or made by skl2onnx, against what ONNX
//! Runtime computes of them. `scripts/onnx_read_cases.py` writes them.

use odin_formats::onnx::{self, ReadOptions};
use odin_graph::{Array, interpret, linear_head};
use serde_json::Value;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/onnx_read"
    ))
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    let values = case[key].as_array().unwrap().iter();
    values.map(|v| v.as_f64().unwrap()).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = logits.iter().map(|v| (v - max).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|v| v / total).collect()
}

#[test]
fn files_give_what_onnx_runtime_gives() {
    let cases = std::fs::read(folder().join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(problem) = check(case) {
            wrong.push(format!("{}: {problem}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cases.len() >= 47);
}

fn check(case: &Value) -> Result<(), String> {
    let name = case["name"].as_str().unwrap();
    let path = folder().join(format!("{name}.onnx"));
    let model = onnx::open(&path, &ReadOptions::default()).map_err(|e| e.to_string())?;
    let shape: Vec<usize> = numbers(case, "shape").iter().map(|&v| v as usize).collect();
    let images = Array::new(shape, numbers(case, "x"));
    let input = model.graph.inputs().next().unwrap().1.name.clone();
    let outputs = interpret(&model.graph, &[(input.as_str(), images)]);
    let outputs = outputs.map_err(|e| e.to_string())?;
    let logits = outputs[0].floats();
    let found: Vec<f64> = match case["compare"].as_str().unwrap() {
        "softmax" => logits.chunks(model.classes).flat_map(softmax).collect(),
        "second" => logits
            .chunks(model.classes)
            .map(|row| softmax(row)[1])
            .collect(),
        "sigmoid" => logits.iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect(),
        _ => logits.to_vec(),
    };
    let (expected, tolerance) = (numbers(case, "expected"), case["tolerance"].as_f64());
    if found.len() != expected.len() {
        return Err(format!("{} numbers, not {}", found.len(), expected.len()));
    }
    let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    let apart = apart.fold(0.0, f64::max);
    // f32 has seven digits; quantised values have their steps.
    if apart > tolerance.unwrap() {
        return Err(format!("{apart} apart"));
    }
    let names = case["class_names"].as_array().map(|names| {
        let names = names.iter().map(|name| name.as_str().unwrap().to_string());
        names.collect::<Vec<_>>()
    });
    if model.class_names != names {
        return Err(format!("the classes are {:?}", model.class_names));
    }
    if let Some(part) = case["notice"].as_str()
        && !model.notices.iter().any(|notice| notice.contains(part))
    {
        return Err(format!("nothing is said of {part:?}: {:?}", model.notices));
    }
    // Scores from features need the last layer, also where probabilities came behind it.
    let linear = name.starts_with("sklearn") && !name.contains("rest") && !name.contains("bayes");
    match linear_head(&model.graph) {
        Err(reason) if linear => Err(reason),
        _ => Ok(()),
    }
}
