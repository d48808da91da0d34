//! A detector computes what the transform and its caller compute, whatever it is fed from.

use odin_graph::odin::{
    self, Extras, Settings, detector, forward, names, transform, transform_with,
};
use odin_graph::op::Window;
use odin_graph::{Array, Error, Graph, Op, Shape, Tensor, Type, interpret, passes, verify};

const BATCH: usize = 3;
const TEMPERATURE: f32 = 100.0;
const STEP: [f32; 2] = [0.25, 0.125];

fn numbers(count: usize, seed: f64) -> Vec<f32> {
    (0..count)
        .map(|i| ((i as f64 * 1.37 + seed) * 12.9898).sin() as f32)
        .collect()
}

/// `[N, 2, 5, 5]` to 4 logits, by a convolution, a maximum pool and a fully connected layer.
fn network() -> Graph {
    let build = || -> Result<Graph, Error> {
        let mut g = Graph::new();
        let x = g.input("x", Type::float(Shape::batched(&[2, 5, 5])))?;
        let w = g.constant(Tensor::new(vec![3, 2, 3, 3], numbers(54, 1.0))?)?;
        let y = g.conv(x, w, None, Window::new(&[3, 3]).pad(1), 1)?;
        let y = g.relu(y)?;
        let y = g.max_pool(y, Window::new(&[2, 2]).stride(2))?;
        let y = g.flatten(y)?;
        let w = g.constant(Tensor::new(vec![4, 12], numbers(48, 2.0))?)?;
        let y = g.linear(y, w, None)?;
        g.output("z", y);
        Ok(g)
    };
    build().unwrap()
}

/// The classifier with ODIN and i-ODIN, as far as they are asked for, and all scores as outputs.
fn with_scores(step: [f32; 2], odin: bool, i_odin: bool) -> Graph {
    let settings = Settings {
        temperature: TEMPERATURE,
        step: step.to_vec(),
        odin,
        i_odin,
        probabilities: odin::Probabilities::Softmax,
    };
    let mut detector = detector(&network(), 1, &settings).unwrap();
    let g = &mut detector.graph;
    let msp = odin::max_softmax(g, detector.logits, 1.0).unwrap();
    g.output(names::LOGITS, detector.logits);
    g.output(names::PREDICTION, detector.prediction);
    g.output("msp", msp);
    let passes = [
        ("odin", detector.perturbed_logits),
        ("i-odin", detector.i_odin_logits),
    ];
    for (name, logits) in passes {
        if let Some(logits) = logits {
            let score = odin::max_softmax(g, logits, TEMPERATURE).unwrap();
            g.output(name, score);
        }
    }
    detector.graph
}

fn images() -> Array<f64> {
    let data = numbers(BATCH * 50, 9.0)
        .into_iter()
        .map(f64::from)
        .collect();
    Array::new(vec![BATCH, 2, 5, 5], data)
}

fn max_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let row = |row: &[f64]| {
        let scaled = || row.iter().map(|z| z / temperature);
        let max = scaled().fold(f64::MIN, f64::max);
        1.0 / scaled().map(|z| (z - max).exp()).sum::<f64>()
    };
    logits.chunks_exact(4).map(row).collect()
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-12, "{what}: {a} for {b}");
    }
}

/// The outputs of a detector: logits, predictions, msp, odin.
fn assert_is_odin(graph: &Graph, input: (&str, Array<f64>), step: [f32; 2]) {
    verify(graph).unwrap();
    let found = interpret(graph, &[input]).unwrap();
    let inputs = [
        ("x", images()),
        (
            names::TEMPERATURE,
            Array::new(vec![], vec![f64::from(TEMPERATURE)]),
        ),
        (
            names::STEP,
            Array::new(vec![1, 2, 1, 1], step.map(f64::from).to_vec()),
        ),
    ];
    let expected = interpret(&transform(&network(), 1).unwrap(), &inputs).unwrap();
    assert_close(found[0].floats(), expected[0].floats(), "logits");
    assert_eq!(found[1], expected[1]);
    let msp = max_softmax(expected[0].floats(), 1.0);
    assert_close(found[2].floats(), &msp, "msp");
    let odin = max_softmax(expected[2].floats(), f64::from(TEMPERATURE));
    assert_close(found[3].floats(), &odin, "odin");
}

#[test]
fn scores_are_those_of_the_transform() {
    for step in [STEP, [0.0, 0.0]] {
        let graph = with_scores(step, true, false);
        assert_is_odin(&graph, ("x", images()), step);
        let names: Vec<&str> = graph.outputs().iter().map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["logits", "prediction", "msp", "odin"]);
        assert_eq!(graph.inputs().count(), 1);
    }
}

#[test]
fn without_a_step_there_is_one_pass() {
    let count = |step| {
        let graph = with_scores(step, true, false);
        let convolves = |op: &Op| matches!(op, Op::Conv(_) | Op::ConvTranspose(_));
        graph.nodes().iter().filter(|n| convolves(&n.op)).count()
    };
    assert_eq!((count(STEP), count([0.0, 0.0])), (3, 1));
}

#[test]
fn i_odin_moves_the_largest_coordinate() {
    let extras = Extras {
        largest_coordinate: true,
        ..Extras::default()
    };
    let transformed = transform_with(&network(), 1, extras).unwrap();
    let step = STEP.map(f64::from).to_vec();
    let inputs = [
        ("x", images()),
        (
            names::TEMPERATURE,
            Array::new(vec![], vec![TEMPERATURE.into()]),
        ),
        (names::STEP, Array::new(vec![1, 2, 1, 1], step)),
    ];
    let expected = interpret(&transformed, &inputs).unwrap();
    let expected = max_softmax(expected[3].floats(), TEMPERATURE.into());
    for odin in [false, true] {
        let graph = with_scores(STEP, odin, true);
        let found = interpret(&graph, &[("x", images())]).unwrap();
        let last = found.last().unwrap();
        assert_close(last.floats(), &expected, "i-ODIN");
        assert_eq!(found.len(), 4 + usize::from(odin));
    }
}

#[test]
fn without_odin_there_is_one_pass() {
    let graph = with_scores(STEP, false, false);
    let convolves = |op: &Op| matches!(op, Op::Conv(_) | Op::ConvTranspose(_));
    let passes = graph.nodes().iter().filter(|n| convolves(&n.op)).count();
    assert_eq!((passes, graph.outputs().len()), (1, 3));
    let forward = forward(&network(), None).unwrap();
    let run = |graph: &Graph| interpret(graph, &[("x", images())]).unwrap();
    assert_eq!(run(&forward)[..], run(&graph)[..2]);
}

/// A preprocessing that undoes what is done to the images here.
#[test]
fn a_detector_can_be_fed_from_another_graph() {
    let source = || -> Result<Graph, Error> {
        let mut g = Graph::new();
        let pixels = g.input("images", Type::float(Shape::batched(&[5, 5, 2])))?;
        let half = g.scalar(0.5)?;
        let doubled = g.div(pixels, half)?;
        let planes = g.add(Op::Transpose(vec![0, 3, 1, 2]), &[doubled])?;
        g.output("planes", planes);
        Ok(g)
    };
    let graph = with_scores(STEP, true, false);
    let bound = passes::bind_input(&graph, "x", &source().unwrap()).unwrap();
    let planes = images();
    let pixel = |i: usize| {
        let (image, place, channel) = (i / 50, i % 50 / 2, i % 2);
        planes.floats()[image * 50 + channel * 25 + place] * 0.5
    };
    let pixels = Array::new(vec![BATCH, 5, 5, 2], (0..BATCH * 50).map(pixel).collect());
    assert_is_odin(&bound, ("images", pixels), STEP);
}

#[test]
fn what_cannot_be_bound_is_refused() {
    let graph = transform(&network(), 1).unwrap();
    let constant = |shape: &[usize], outputs: usize| {
        let mut g = Graph::new();
        let count = shape.iter().product();
        let tensor = Tensor::new(shape.to_vec(), vec![1.0; count]).unwrap();
        let value = g.constant(tensor).unwrap();
        (0..outputs).for_each(|i| g.output(format!("y{i}"), value));
        g
    };
    let mut same_name = Graph::new();
    let x = same_name.input("x", Type::float(Shape::default())).unwrap();
    same_name.output("y", x);
    let cases = [
        ("y", constant(&[], 1), "no input \"y\""),
        (names::TEMPERATURE, constant(&[], 2), "one output, it has 2"),
        (
            names::TEMPERATURE,
            constant(&[2], 1),
            "is float[], its source float[2]",
        ),
        (names::TEMPERATURE, same_name, "two inputs named \"x\""),
    ];
    for (name, source, part) in cases {
        let error = passes::bind_input(&graph, name, &source).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let steps = Settings {
        step: vec![0.1],
        temperature: TEMPERATURE,
        odin: true,
        i_odin: false,
        probabilities: odin::Probabilities::Softmax,
    };
    assert!(detector(&network(), 1, &steps).is_err());
}

/// A power of two changes no digit of a gradient, and no sign.
#[test]
fn a_scaled_gradient_has_the_same_direction() {
    let settings = Settings {
        temperature: TEMPERATURE,
        step: STEP.to_vec(),
        odin: true,
        i_odin: true,
        probabilities: odin::Probabilities::Softmax,
    };
    let logits = |factor| {
        let network = network();
        let mut detector =
            odin::detector_with_gradient_times(factor, &network, 1, &settings).unwrap();
        let perturbed = [detector.perturbed_logits, detector.i_odin_logits];
        for (name, value) in ["odin", "i-odin"].into_iter().zip(perturbed) {
            detector.graph.output(name, value.unwrap());
        }
        interpret(&detector.graph, &[("x", images())]).unwrap()
    };
    let plain = logits(1.0);
    for factor in [256.0, 1.0 / 1024.0] {
        let scaled = logits(factor);
        for (scaled, plain) in scaled.iter().zip(&plain) {
            assert_eq!(scaled.floats(), plain.floats());
        }
    }
}
