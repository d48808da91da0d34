//! AdaSCALE's shifted features, in f64, against finite differences.

use odin_graph::op::Window;
use odin_graph::{
    Array, Graph, Shape, Shift, Tensor, Type, ValueId, interpret, shifted_features, verify,
};

const BATCH: usize = 3;
const PIXELS: usize = 2 * 5 * 5;
const CLASSES: usize = 4;
const FEATURES: usize = 3;

fn numbers(count: usize, seed: f64) -> Vec<f32> {
    (0..count)
        .map(|i| ((i as f64 * 1.37 + seed) * 12.9898).sin() as f32)
        .collect()
}

fn tensor(g: &mut Graph, shape: &[usize], seed: f64) -> ValueId {
    let data = numbers(shape.iter().product(), seed);
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

/// The values of a network: images, features, logits.
struct Network {
    graph: Graph,
    x: ValueId,
    features: ValueId,
    logits: ValueId,
}

/// Convolution, a sigmoid, pooling, a fully connected layer.
fn network() -> Network {
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[2, 5, 5])))
        .unwrap();
    let w = tensor(&mut g, &[FEATURES, 2, 3, 3], 1.0);
    let window = Window::new(&[3, 3]).pad(1);
    let y = g.conv(x, w, None, window, 1).unwrap();
    let y = g.unary(odin_graph::op::Unary::Sigmoid, y).unwrap();
    let y = g.mul(y, y).unwrap();
    let y = g.global_average_pool(y).unwrap();
    let features = g.flatten(y).unwrap();
    let w = tensor(&mut g, &[CLASSES, FEATURES], 5.0);
    let logits = g.linear(features, w, None).unwrap();
    Network {
        graph: g,
        x,
        features,
        logits,
    }
}

/// The shifted features.
fn shifted(network: &Network, images: &[f64], shift: Shift) -> Vec<f64> {
    let mut g = network.graph.clone();
    let Network {
        x,
        features,
        logits,
        ..
    } = *network;
    let shifted = shifted_features(&mut g, x, logits, features, shift).unwrap();
    g.output("shifted", shifted);
    verify(&g).unwrap();
    run(&g, images)
}

/// The only output.
fn run(g: &Graph, images: &[f64]) -> Vec<f64> {
    let mut shape = g.inputs().next().unwrap().1.ty.shape.at(1);
    shape[0] = images.len() / shape.iter().product::<usize>();
    let images = Array::new(shape, images.to_vec());
    interpret(g, &[("x", images)]).unwrap()[0].floats().to_vec()
}

fn of(network: &Network, value: ValueId) -> impl Fn(&[f64]) -> Vec<f64> {
    let mut g = network.graph.clone();
    g.output("value", value);
    move |images| run(&g, images)
}

fn argmax(logits: &[f64]) -> usize {
    let larger = |&a: &usize, &b: &usize| logits[a].total_cmp(&logits[b]);
    (0..logits.len()).max_by(larger).unwrap()
}

/// Central differences of the predicted logit.
fn differences(logits: impl Fn(&[f64]) -> Vec<f64>, image: &[f64]) -> Vec<f64> {
    let class = argmax(&logits(image));
    let at = |i: usize, h: f64| {
        let mut moved = image.to_vec();
        moved[i] += h;
        logits(&moved)[class]
    };
    (0..image.len())
        .map(|i| (at(i, 1e-5) - at(i, -1e-5)) / 2e-5)
        .collect()
}

#[test]
fn the_least_entries_move_up_the_gradient_of_the_predicted_logit() {
    let network = network();
    let images: Vec<f64> = numbers(BATCH * PIXELS, 9.0)
        .into_iter()
        .map(f64::from)
        .collect();
    let (logits, features) = (of(&network, network.logits), of(&network, network.features));
    // 50 entries: 2 of 0.05, 1 where less than one would move, all.
    for (share, entries) in [(0.05, 2), (0.29, 14), (0.001, 1), (1.0, PIXELS)] {
        let step = 0.5;
        let found = shifted(&network, &images, Shift { share, step });
        for (image, found) in images.chunks(PIXELS).zip(found.chunks(FEATURES)) {
            let gradient = differences(&logits, image);
            let mut order: Vec<usize> = (0..PIXELS).collect();
            order.sort_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs()));
            let mut moved = image.to_vec();
            for &i in &order[..entries] {
                moved[i] += f64::from(step) * gradient[i].signum();
            }
            for (found, expected) in found.iter().zip(features(&moved)) {
                let difference = (found - expected).abs();
                assert!(difference < 1e-9, "{share}: {found} {expected}");
            }
        }
    }
}

/// A linear network whose gradient is its weight, and whose features are its images.
fn linear(weight: &[f32]) -> Network {
    let mut g = Graph::new();
    let shape = Shape::batched(&[weight.len()]);
    let x = g.input("x", Type::float(shape)).unwrap();
    let two_rows = [weight, weight].concat();
    let w = g
        .constant(Tensor::new(vec![2, weight.len()], two_rows).unwrap())
        .unwrap();
    let logits = g.linear(x, w, None).unwrap();
    let one = g.scalar(1.0).unwrap();
    let features = g.mul(x, one).unwrap();
    Network {
        graph: g,
        x,
        features,
        logits,
    }
}

#[test]
fn signs_zeros_and_ties() {
    let cases: [(&[f32], f64, [f64; 4]); 5] = [
        // Two of four move, by the sign of their gradient.
        (&[3.0, -1.0, 2.0, -4.0], 0.5, [0.0, -1.0, 1.0, 0.0]),
        // Entries without a gradient are the least, and stay.
        (&[0.0, -1.0, 0.0, 4.0], 0.5, [0.0; 4]),
        (&[0.0, -1.0, 0.0, 4.0], 0.75, [0.0, -1.0, 0.0, 0.0]),
        // All that equal the last of the share move with it.
        (&[2.0, -2.0, 2.0, 1.0], 0.5, [1.0, -1.0, 1.0, 1.0]),
        (&[0.0; 4], 1.0, [0.0; 4]),
    ];
    for (weight, share, expected) in cases {
        let network = linear(weight);
        let shift = Shift { share, step: 1.0 };
        assert_eq!(shifted(&network, &[0.0; 4], shift), expected, "{weight:?}");
    }
}
