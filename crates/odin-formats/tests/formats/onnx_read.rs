//! Networks of every family, as exporters write them, against what PyTorch computes from the
//! original modules in f64: logits, predictions, scores, signs of the gradient.
//!
//! `ODIN_ONNX_FIXTURES=DIR` takes the files of another folder, such as the larger set that
//! `scripts/onnx_fixtures.py --full DIR` writes.

use odin_formats::onnx::{self, Model, ReadOptions};
use odin_graph::odin::{self, names};
use odin_graph::{Array, Real, interpret, verify};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::PathBuf;

const IMAGES: usize = 4;

fn folder() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx");
    PathBuf::from(std::env::var("ODIN_ONNX_FIXTURES").unwrap_or(own.to_string()))
}

/// One network: what PyTorch says of it, and its images.
struct Expected {
    shape: Vec<usize>,
    channels_last: bool,
    mean: Vec<f64>,
    std: Vec<f64>,
    pixels: Vec<u8>,
    logits: Vec<f64>,
    prediction: Vec<f64>,
    msp: Vec<f64>,
    odin: Vec<f64>,
    /// For some of the images, in the order of the network: whether the gradient is not negative, and whether it is large
    /// enough to be sure of that.
    signs: Vec<(bool, bool)>,
}

fn floats(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(floats).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes
        .iter()
        .flat_map(|b| (0..8).map(move |i| b >> i & 1 == 1))
}

impl Expected {
    fn load(name: &str, network: &Value) -> Self {
        let read = |file: &str| std::fs::read(folder().join(file)).unwrap();
        let (images, gradients) = (read("images.safetensors"), read("gradients.safetensors"));
        let images = SafeTensors::deserialize(&images).unwrap();
        let gradients = SafeTensors::deserialize(&gradients).unwrap();
        let text = network["shape"].as_str().unwrap();
        let shape: Vec<usize> = text.split('x').map(|v| v.parse().unwrap()).collect();
        let packed = |part: &str| {
            let tensor = gradients.tensor(&format!("{name}.{part}")).unwrap();
            let per_image = tensor.data().chunks(tensor.shape()[1]);
            let count = shape.iter().product();
            per_image
                .flat_map(|row| bits(row).take(count))
                .collect::<Vec<_>>()
        };
        Self {
            channels_last: network["layout"] == "NHWC",
            mean: floats(&network["mean"]),
            std: floats(&network["std"]),
            pixels: images.tensor(text).unwrap().data().to_vec(),
            logits: floats(&network["logits"]),
            prediction: floats(&network["prediction"]),
            msp: floats(&network["msp"]),
            odin: floats(&network["odin"]),
            signs: packed("sign")
                .into_iter()
                .zip(packed("significant"))
                .collect(),
            shape,
        }
    }

    /// Values in the images' order, channels first, in the order of the network's input.
    fn to_network<T: Copy>(&self, values: &[T]) -> Vec<T> {
        if !self.channels_last {
            return values.to_vec();
        }
        let [c, plane] = [self.shape[0], self.shape[1..].iter().product()];
        let pixel = |image: usize, i: usize| (0..c).map(move |k| (image * c + k) * plane + i);
        (0..values.len() / (c * plane))
            .flat_map(|image| (0..plane).flat_map(move |i| pixel(image, i)))
            .map(|i| values[i])
            .collect()
    }

    fn channel_axis(&self) -> usize {
        if self.channels_last {
            self.shape.len()
        } else {
            1
        }
    }

    fn batch<T: Real>(&self, input: &[usize]) -> Array<T> {
        let plane: usize = self.shape[1..].iter().product();
        let normalised: Vec<f64> = self
            .pixels
            .iter()
            .enumerate()
            .map(|(i, &p)| {
                let c = i / plane % self.shape[0] % self.mean.len();
                (f64::from(p) / 255.0 - self.mean[c]) / self.std[c]
            })
            .collect();
        let shape = [&[IMAGES], input].concat();
        let real = |v: f64| T::from(v).unwrap();
        Array::new(
            shape,
            self.to_network(&normalised).into_iter().map(real).collect(),
        )
    }

    /// ε / std for each channel.
    fn step<T: Real>(&self, input: &[usize], magnitude: f64) -> Array<T> {
        let mut shape = vec![1; input.len() + 1];
        shape[self.channel_axis()] = input[self.channel_axis() - 1];
        let count = shape.iter().product();
        let std = |i: usize| self.std[i % self.std.len()];
        let step = (0..count).map(|i| T::from(magnitude / std(i)).unwrap());
        Array::new(shape, step.collect())
    }
}

/// A file and the network that it was exported from.
fn cases() -> Vec<(String, Value, Expected)> {
    let index = std::fs::read(folder().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let mut cases = Vec::new();
    for file in index["files"].as_array().unwrap() {
        let network = file["network"].as_str().unwrap();
        let expected = Expected::load(network, &index["networks"][network]);
        cases.push((
            file["file"].as_str().unwrap().to_string(),
            file.clone(),
            expected,
        ));
    }
    cases
}

fn open(file: &str, about: &Value) -> Result<Model, String> {
    let mut options = ReadOptions::default();
    options.output = about["output"].as_str().map(str::to_string);
    onnx::open(&folder().join(file), &options).map_err(|e| e.to_string())
}

/// The largest difference, in units of the largest value.
fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let differences = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    differences.fold(0.0, f64::max) / scale
}

fn largest_softmax(logits: &[f64], temperature: f64) -> f64 {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let terms = logits.iter().map(|z| ((z - largest) / temperature).exp());
    1.0 / terms.sum::<f64>()
}

#[test]
fn scores_and_gradients_are_those_of_pytorch() {
    let mut failed = Vec::new();
    for (file, about, expected) in cases() {
        let model = match open(&file, &about) {
            Ok(model) => model,
            Err(error) => {
                failed.push(error);
                continue;
            }
        };
        verify(&model.graph).unwrap();
        let graph = {
            let extras = odin::Extras {
                direction: true,
                ..odin::Extras::default()
            };
            odin::transform_with(&model.graph, expected.channel_axis(), extras)
        };
        let Ok(graph) = graph.map_err(|e| failed.push(format!("{file}: {e}"))) else {
            continue;
        };
        let input = model.graph.inputs().next().unwrap().1.name.clone();
        let inputs = [
            (input.as_str(), expected.batch::<f64>(&model.input_shape)),
            (names::TEMPERATURE, Array::new(vec![], vec![1000.0])),
            (names::STEP, expected.step(&model.input_shape, 0.0014)),
        ];
        let outputs = interpret(&graph, &inputs).unwrap();
        let output = |name: &str| {
            let place = graph.outputs().iter().position(|o| o.name == name);
            &outputs[place.unwrap()]
        };
        let scores = |name: &str, temperature| -> Vec<f64> {
            let rows = output(name).floats().chunks(model.classes);
            rows.map(|z| largest_softmax(z, temperature)).collect()
        };
        let predictions: Vec<f64> = match output(names::PREDICTION) {
            odin_graph::Value::Int(data, _) => data.iter().map(|&v| v as f64).collect(),
            _ => panic!("predictions are integers"),
        };
        if predictions != expected.prediction {
            failed.push(format!("{file}: predictions differ"));
        }
        let logits = relative_error(output(names::LOGITS).floats(), &expected.logits);
        let msp = relative_error(&scores(names::LOGITS, 1.0), &expected.msp);
        let odin = relative_error(&scores(names::PERTURBED_LOGITS, 1000.0), &expected.odin);
        let signs = &expected.signs;
        let found = output(names::DIRECTION).floats();
        let wrong = signs
            .iter()
            .zip(found)
            .filter(|((positive, sure), d)| *sure && *positive != (**d > 0.0));
        let wrong = wrong.count();
        println!(
            "{file}: logits {logits:.1e}, msp {msp:.1e}, odin {odin:.1e}, signs wrong {wrong} of {}",
            signs.len()
        );
        // PyTorch's numbers are those of the weights before they were rounded to 16 bits.
        let rounding = match file.starts_with("resnet_f16") {
            true => 1e4,
            false => 1.0,
        };
        let bound = |of: f64| of * rounding;
        if !(logits < bound(1e-6) && msp < bound(1e-6) && odin < bound(1e-8) && wrong == 0) {
            failed.push(format!("{file} differs"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Pools of all geometries, as ONNX Runtime computes them (`scripts/onnx_pools.py`).
/// `ODIN_POOLS=FILE` takes other cases.
///
/// What it refuses is refused. Of what it computes only this is refused: windows that are larger
/// than the padded input by less than a step, for which it gives a position that the standard does
/// not have, and windows whose every entry may lie in the padding.
#[test]
fn pools_are_those_of_onnx_runtime() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pools.json");
    let path = std::env::var("ODIN_POOLS").unwrap_or(own.to_string());
    let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    let mut equal = 0;
    for (i, case) in cases.iter().enumerate() {
        let hexadecimal = case["model"].as_str().unwrap().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        let file: Vec<u8> = hexadecimal
            .chunks(2)
            .map(|pair| byte(pair).unwrap())
            .collect();
        let graph = match (onnx::read_graph(&file, "pool.onnx"), &case["y"]) {
            (Ok(graph), Value::Array(_)) => graph,
            (Ok(_), _) => panic!("case {i} is refused by ONNX Runtime"),
            (Err(_), Value::Null) => continue,
            (Err(error), _) => {
                let message = error.to_string();
                let known = ["larger than the padded input", "see nothing but padding"];
                assert!(
                    known.iter().any(|k| message.contains(k)),
                    "case {i}: {message}"
                );
                continue;
            }
        };
        let shape: Vec<usize> = floats(&case["x"]).iter().map(|&v| v as usize).collect();
        let x = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 1000) as f32 / 1000.0 - 0.7);
        let x = Array::new(shape, x.map(f64::from).collect());
        let found = interpret(&graph, &[("x", x)]).unwrap();
        let expected = floats(&case["y"]);
        assert_eq!(found[0].floats().len(), expected.len(), "case {i}");
        for (found, expected) in found[0].floats().iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-6,
                "case {i}: {found} is not {expected}"
            );
        }
        equal += 1;
    }
    assert!(2 * equal > cases.len(), "{equal} of {}", cases.len());
}
