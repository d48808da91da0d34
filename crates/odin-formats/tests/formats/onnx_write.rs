//! A detector that was written and read back computes what it did.

use crate::common::fixture_path;
use odin_formats::onnx::{InputType, Labels, read_graph, write};
use odin_formats::{Checkpoint, zoo};
use odin_graph::odin::{Probabilities, Settings, detector, max_softmax};
use odin_graph::{Array, Graph, Value, interpret};

const FILES: [&str; 9] = [
    "densenet_bc.safetensors",
    "densenet_torchvision.safetensors",
    "resnet_a.safetensors",
    "resnet_bottleneck.safetensors",
    "resnet_downsample.safetensors",
    "resnet_torchvision.safetensors",
    "resnext.safetensors",
    "wide_resnet.safetensors",
    "wide_resnet_k1.safetensors",
];

fn run(graph: &Graph, shape: &[usize]) -> Vec<Value<f64>> {
    let count: usize = shape.iter().product();
    let pixel = |i: usize| ((i as f64 * 1.37 + 0.5) * 12.9898).sin();
    let images = Array::new(shape.to_vec(), (0..count).map(pixel).collect());
    interpret(graph, &[(zoo::INPUT, images)]).unwrap()
}

fn difference(a: &Value<f64>, b: &Value<f64>) -> f64 {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => {
            assert_eq!(a.shape(), b.shape());
            let pairs = a.floats().iter().zip(b.floats());
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        }
        (a, b) => {
            assert_eq!(a, b);
            0.0
        }
    }
}

/// A classifier with ODIN and its scores.
fn odin_graph_of(classifier: &Graph, settings: &Settings) -> Graph {
    let mut detector = detector(classifier, 1, settings).unwrap();
    let g = &mut detector.graph;
    let msp = max_softmax(g, detector.logits, 1.0).unwrap();
    let perturbed = detector.perturbed_logits.unwrap();
    let odin = max_softmax(g, perturbed, settings.temperature).unwrap();
    g.output("logits", detector.logits);
    g.output("prediction", detector.prediction);
    g.output("msp", msp);
    g.output("odin", odin);
    detector.graph
}

#[test]
fn detectors_compute_the_same_once_read_back() {
    for file in FILES {
        let checkpoint = Checkpoint::open(fixture_path(file)).unwrap();
        let model = zoo::build(&checkpoint, Some([3, 32, 32])).unwrap();
        let settings = Settings {
            temperature: 1000.0,
            step: vec![0.01, 0.02, 0.03],
            odin: true,
            i_odin: false,
            probabilities: Probabilities::Softmax,
        };
        let graph = odin_graph_of(&model.graph, &settings);
        let bytes = write(&graph, InputType::Float, &Labels::default()).unwrap();
        let again = read_graph(&bytes, file).unwrap();
        let shape = [2, 3, 32, 32];
        let names = |g: &Graph| -> Vec<String> {
            g.outputs()
                .iter()
                .map(|output| output.name.clone())
                .collect()
        };
        assert_eq!(names(&graph), names(&again));
        for (a, b) in run(&graph, &shape).iter().zip(&run(&again, &shape)) {
            let difference = difference(a, b);
            assert!(difference < 1e-9, "{file}: {difference}");
        }
    }
}
