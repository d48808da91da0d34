//! The ODIN transform on a small network, in f64.

use odin_graph::odin::{
    Extras, Probabilities, directions, names, temperature_name, transform_with,
};
use odin_graph::op::Window;
use odin_graph::{
    Array, Error, Graph, Real, Shape, Tensor, Type, Value, interpret, passes, verify,
};

const BATCH: usize = 3;
const PIXELS: usize = 2 * 5 * 5;

fn numbers(count: usize, seed: f64) -> Vec<f32> {
    (0..count)
        .map(|i| ((i as f64 * 1.37 + seed) * 12.9898).sin() as f32)
        .collect()
}

/// Convolution, normalisation, ReLU, pooling, a fully connected layer of 4 classes.
fn network() -> Graph {
    let mut g = Graph::new();
    let tensor = |shape: &[usize], seed| {
        Tensor::new(shape.to_vec(), numbers(shape.iter().product(), seed)).unwrap()
    };
    let x = g
        .input("x", Type::float(Shape::batched(&[2, 5, 5])))
        .unwrap();
    let w = g.constant(tensor(&[3, 2, 3, 3], 1.0)).unwrap();
    let y = g
        .at("conv")
        .conv(x, w, None, Window::new(&[3, 3]).pad(1), 1)
        .unwrap();
    let [scale, shift, mean] = [2.0, 3.0, 4.0].map(|seed| g.constant(tensor(&[3], seed)).unwrap());
    let var = g.constant(Tensor::vector(vec![0.5, 1.5, 2.5])).unwrap();
    let y = g
        .at("bn")
        .batch_norm(y, [scale, shift, mean, var], 1e-5)
        .unwrap();
    let y = g.relu(y).unwrap();
    let y = g.global_average_pool(y).unwrap();
    let y = g.flatten(y).unwrap();
    let w = g.constant(tensor(&[4, 3], 5.0)).unwrap();
    let y = g.at("fc").linear(y, w, None).unwrap();
    g.output("logits", y);
    g
}

/// ODIN with the direction of the perturbation as its last output.
fn transform(classifier: &Graph, channel_axis: usize) -> Result<Graph, Error> {
    let extras = Extras {
        direction: true,
        ..Extras::default()
    };
    transform_with(classifier, channel_axis, extras)
}

struct Outputs {
    logits: Vec<f64>,
    prediction: Vec<i64>,
    perturbed: Vec<f64>,
    direction: Vec<f64>,
}

fn run(graph: &Graph, temperature: f64, step: f64) -> Outputs {
    let images = numbers(BATCH * PIXELS, 9.0)
        .into_iter()
        .map(f64::from)
        .collect();
    let inputs = [
        ("x", Array::new(vec![BATCH, 2, 5, 5], images)),
        (names::TEMPERATURE, Array::new(vec![], vec![temperature])),
        (names::STEP, Array::new(vec![1, 2, 1, 1], vec![step; 2])),
    ];
    let outputs = interpret(graph, &inputs).unwrap();
    let Value::Int(prediction, _) = &outputs[1] else {
        panic!("classes are integers")
    };
    Outputs {
        logits: outputs[0].floats().to_vec(),
        prediction: prediction.clone(),
        perturbed: outputs[2].floats().to_vec(),
        direction: outputs[3].floats().to_vec(),
    }
}

fn log_softmax(logits: &[f64], class: usize, temperature: f64) -> f64 {
    let sum: f64 = logits.iter().map(|z| (z / temperature).exp()).sum();
    logits[class] / temperature - sum.ln()
}

#[test]
fn without_a_step_nothing_moves() {
    let out = run(&transform(&network(), 1).unwrap(), 1000.0, 0.0);
    assert_eq!(out.logits, out.perturbed);
}

/// The sign that readers of the paper get wrong.
#[test]
fn the_perturbation_raises_the_score_of_the_predicted_class() {
    let graph = transform(&network(), 1).unwrap();
    verify(&graph).unwrap();
    for temperature in [1.0, 10.0, 1000.0] {
        let out = run(&graph, temperature, 1e-4);
        for image in 0..BATCH {
            let class = out.prediction[image] as usize;
            let row = |logits: &[f64]| log_softmax(&logits[image * 4..][..4], class, temperature);
            assert!(
                row(&out.perturbed) > row(&out.logits),
                "T = {temperature}, image {image}"
            );
        }
    }
}

/// Every image is all that its pixels say: a dead network moves along +1.
#[test]
fn a_zero_gradient_counts_as_positive() {
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[2, 5, 5])))
        .unwrap();
    let zero = g.scalar(0.0).unwrap();
    let dead = g.mul(x, zero).unwrap();
    let flat = g.flatten(dead).unwrap();
    let w = g
        .constant(Tensor::new(vec![4, PIXELS], numbers(4 * PIXELS, 1.0)).unwrap())
        .unwrap();
    let logits = g.linear(flat, w, None).unwrap();
    g.output("logits", logits);
    let out = run(&transform(&g, 1).unwrap(), 1000.0, 0.1);
    assert!(out.direction.iter().all(|&s| s == 1.0));
}

/// Where the softmax of the predicted class rounds to 1, f32 still moves where f64 does.
#[test]
fn confident_networks_keep_their_direction() {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[6]))).unwrap();
    let w: Vec<f32> = numbers(5 * 6, 2.0).iter().map(|w| w * 60.0).collect();
    let w = g.constant(Tensor::new(vec![5, 6], w).unwrap()).unwrap();
    let logits = g.linear(x, w, None).unwrap();
    g.output("logits", logits);
    let graph = transform(&g, 1).unwrap();
    fn direction<T: Real>(graph: &Graph) -> Vec<f64> {
        let array = |shape: &[usize], data: &[f32]| {
            Array::new(shape.to_vec(), data.iter().map(|&v| T::of(v)).collect())
        };
        let inputs = [
            ("x", array(&[BATCH, 6], &numbers(BATCH * 6, 9.0))),
            (names::TEMPERATURE, array(&[], &[1.0])),
            (names::STEP, array(&[1, 6], &[0.1; 6])),
        ];
        let outputs = interpret(graph, &inputs).unwrap();
        let direction = outputs[3].floats().iter();
        direction
            .map(|v| if *v > T::zero() { 1.0 } else { -1.0 })
            .collect()
    }
    let exact = direction::<f64>(&graph);
    assert!(exact.iter().any(|&s| s < 0.0));
    assert_eq!(direction::<f32>(&graph), exact);
}

#[test]
fn folding_keeps_what_is_computed_and_drops_the_normalisation() {
    let plain = network();
    let folded = passes::fold_batch_norm(&plain).unwrap();
    verify(&folded).unwrap();
    assert!(
        folded
            .nodes()
            .iter()
            .all(|n| n.op.name() != "BatchNormalization")
    );
    let logits = |g: &Graph| run(&transform(g, 1).unwrap(), 1000.0, 0.1);
    let (a, b) = (logits(&plain), logits(&folded));
    assert_eq!((&a.prediction, &a.direction), (&b.prediction, &b.direction));
    for (a, b) in a.perturbed.iter().zip(&b.perturbed) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn what_is_no_classifier_is_refused() {
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[2, 5, 5])))
        .unwrap();
    g.output("features", x);
    let error = transform(&g, 1).unwrap_err().to_string();
    assert!(
        error.contains("not a classifier") && error.contains("features"),
        "{error}"
    );
}

/// What [`directions`] gives at once is what [`transform_with`] gives for each temperature.
#[test]
fn directions_of_several_temperatures_are_those_of_each() {
    let temperatures = [1.0, 2.0, 1000.0];
    let graph = directions(&network(), temperatures.len(), None, Probabilities::Softmax).unwrap();
    verify(&graph).unwrap();
    let names: Vec<String> = (0..3).map(temperature_name).collect();
    let images = numbers(BATCH * PIXELS, 9.0);
    let images = images.into_iter().map(f64::from).collect();
    let mut inputs = vec![("x", Array::new(vec![BATCH, 2, 5, 5], images))];
    let given = names.iter().zip(temperatures);
    inputs.extend(given.map(|(name, t)| (name.as_str(), Array::new(vec![], vec![t]))));
    let outputs = interpret(&graph, &inputs).unwrap();
    for (i, &temperature) in temperatures.iter().enumerate() {
        let alone = run(&transform(&network(), 1).unwrap(), temperature, 0.1);
        assert_eq!(outputs[0].floats(), alone.logits);
        assert_eq!(
            outputs[1 + i].floats(),
            alone.direction,
            "T = {temperature}"
        );
    }
}

/// The coordinate that moves raises the score more than any other does.
#[test]
fn i_odin_moves_the_coordinate_of_the_largest_gradient() {
    let (classes, step, temperature) = (4, 1e-5, 10.0);
    let extras = Extras {
        largest_coordinate: true,
        ..Extras::default()
    };
    let graph = transform_with(&network(), 1, extras).unwrap();
    verify(&graph).unwrap();
    let images = numbers(BATCH * PIXELS, 9.0);
    let images: Vec<f64> = images.into_iter().map(f64::from).collect();
    let run = |images: Vec<f64>| {
        let inputs = [
            ("x", Array::new(vec![BATCH, 2, 5, 5], images)),
            (names::TEMPERATURE, Array::new(vec![], vec![temperature])),
            (names::STEP, Array::new(vec![1, 2, 1, 1], vec![step; 2])),
        ];
        interpret(&graph, &inputs).unwrap()
    };
    let scores = |logits: &[f64], classes_of: &[i64]| -> Vec<f64> {
        let rows = logits.chunks(classes).zip(classes_of);
        rows.map(|(row, &class)| log_softmax(row, class as usize, temperature))
            .collect()
    };
    let clean = run(images.clone());
    let Value::Int(prediction, _) = &clean[1] else {
        panic!("classes are integers")
    };
    let moved = scores(clean[3].floats(), prediction);
    let mut best = vec![f64::NEG_INFINITY; BATCH];
    for pixel in 0..PIXELS {
        for sign in [-step, step] {
            let mut nudged = images.clone();
            nudged
                .chunks_mut(PIXELS)
                .for_each(|image| image[pixel] += sign);
            for (best, score) in best
                .iter_mut()
                .zip(scores(run(nudged)[0].floats(), prediction))
            {
                *best = best.max(score);
            }
        }
    }
    for (moved, best) in moved.iter().zip(&best) {
        assert!((moved - best).abs() < 1e-12, "{moved} {best}");
    }
}
