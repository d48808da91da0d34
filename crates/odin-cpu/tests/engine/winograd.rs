//! Winograd's method against the interpreter in f64, beside direct multiplication.

use crate::numbers;
use odin_cpu::{Engine, InstructionSet, Options, Output, Winograd};
use odin_graph::op::Window;
use odin_graph::{Array, Graph, Shape, Tensor, Type, ValueId, interpret, vjp};

/// A convolution of 3x3 windows by single steps.
#[derive(Debug, Clone, Copy)]
struct Layer {
    inner: usize,
    outer: usize,
    extent: [usize; 2],
    /// Top, left, bottom, right.
    pads: [usize; 4],
}

fn layer(inner: usize, outer: usize, extent: [usize; 2]) -> Layer {
    Layer {
        inner,
        outer,
        extent,
        pads: [1; 4],
    }
}

fn constant(g: &mut Graph, seed: u32, shape: &[usize], gain: f32) -> ValueId {
    let data = numbers(seed, shape.iter().product());
    let data: Vec<f32> = data.into_iter().map(|v| v * gain).collect();
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

/// Weights that keep the variance.
fn conv(g: &mut Graph, x: ValueId, layer: Layer) -> ValueId {
    let Layer { inner, outer, .. } = layer;
    let gain = (6.0 / (9 * inner) as f32).sqrt();
    let w = constant(g, 7, &[outer, inner, 3, 3], gain);
    let [top, left, bottom, right] = layer.pads;
    let mut window = Window::new(&[3, 3]);
    window.pads_begin = vec![top, left];
    window.pads_end = vec![bottom, right];
    let bias = constant(g, 8, &[outer], 0.1);
    g.conv(x, w, Some(bias), window, 1).unwrap()
}

/// A convolution between activations, with a sum where shapes allow it, and its gradient.
fn network(layer: Layer) -> Graph {
    let mut g = Graph::new();
    let [height, width] = layer.extent;
    let shape = Shape::batched(&[layer.inner, height, width]);
    let x = g.input("x", Type::float(shape)).unwrap();
    let a = g.relu(x).unwrap();
    let mut y = conv(&mut g, a, layer);
    if g.shape(y) == g.shape(x) {
        y = g.add_values(y, x).unwrap();
    }
    y = g.relu(y).unwrap();
    let gradient = vjp(&mut g, y, y, x).unwrap();
    g.output("y", y);
    g.output("gradient", gradient);
    g
}

/// A convolution and, apart from it, its adjoint.
fn both(layer: Layer) -> Graph {
    let mut g = Graph::new();
    let [height, width] = layer.extent;
    let shape = Shape::batched(&[layer.inner, height, width]);
    let x = g.input("x", Type::float(shape)).unwrap();
    let y = conv(&mut g, x, layer);
    let seed = g.shape(y).clone();
    let seed = g.input("seed", Type::float(seed)).unwrap();
    let gradient = vjp(&mut g, y, seed, x).unwrap();
    g.output("y", y);
    g.output("gradient", gradient);
    g
}

fn options(winograd: Winograd, instructions: InstructionSet) -> Options {
    let mut options = Options::default();
    (options.winograd, options.instructions) = (winograd, instructions);
    options
}

/// The inputs of a graph for some images; those of fewer images are the first of those of more.
fn inputs(g: &Graph, images: usize) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let input = |(i, (_, input)): (usize, (ValueId, &odin_graph::op::Input))| {
        let shape = input.ty.shape.at(images);
        let data = numbers(i as u32 + 1, shape.iter().product());
        (input.name.clone(), shape, data)
    };
    g.inputs().enumerate().map(input).collect()
}

fn run(g: &Graph, options: Options, threads: usize, images: usize) -> Vec<Vec<f32>> {
    let engine = Engine::with_options(g, threads, options).unwrap();
    let inputs = inputs(g, images);
    let inputs: Vec<(&str, &[f32])> = inputs.iter().map(|(n, _, d)| (&n[..], &d[..])).collect();
    let floats = |output| match output {
        Output::Float(data) => data,
        other => panic!("{other:?}"),
    };
    let outputs = engine.run(images, &inputs).unwrap();
    outputs.into_iter().map(floats).collect()
}

fn exact(g: &Graph, images: usize) -> Vec<Vec<f64>> {
    let inputs: Vec<(String, Array<f64>)> = inputs(g, images)
        .into_iter()
        .map(|(n, s, d)| (n, Array::new(s, d.into_iter().map(f64::from).collect())))
        .collect();
    let inputs: Vec<(&str, Array<f64>)> = inputs.iter().map(|(n, a)| (&n[..], a.clone())).collect();
    let outputs = interpret(g, &inputs).unwrap();
    outputs.iter().map(|v| v.floats().to_vec()).collect()
}

/// Every size and padding that meets the edges of tiles, vectors, blocks and images differently,
/// on every instruction set, for batches that are computed one by one, together and shared.
#[test]
fn all_shapes_are_those_of_the_interpreter() {
    let mut layers = vec![
        layer(1, 1, [1, 1]),
        layer(3, 5, [2, 3]),
        layer(2, 13, [4, 4]),
        layer(5, 2, [5, 9]),
        layer(12, 12, [8, 8]),
        layer(4, 25, [7, 33]),
        layer(7, 3, [16, 17]),
        layer(3, 3, [70, 66]),
        layer(40, 30, [16, 16]),
        layer(2, 3, [1, 200]),
        // Threads share the channels: the weights are many.
        layer(112, 112, [8, 8]),
    ];
    for pads in [[0; 4], [2; 4], [0, 1, 2, 0], [1, 0, 0, 2]] {
        for extent in [[4, 3], [9, 12], [18, 35]] {
            let layer = layer(3, 4, extent);
            layers.push(Layer { pads, ..layer });
        }
    }
    for layer in layers {
        check(layer);
    }
}

fn check(layer: Layer) {
    let g = network(layer);
    let images = 5;
    let expected = exact(&g, images);
    for winograd in [Winograd::Tiles2, Winograd::Tiles4] {
        let mut bits = None;
        let sets = InstructionSet::available();
        for (i, &set) in sets.iter().enumerate() {
            let what = format!("{layer:?}, {winograd:?}, {set}");
            let found = run(&g, options(winograd, set), 1, images);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.len(), expected.len(), "{what}");
                let largest = errors(found, expected).0;
                assert!(largest < 3e-5, "{what}: an error of {largest:e}");
            }
            // The last set multiplies and adds in two roundings, all others in one.
            if i + 1 < sets.len() {
                assert!(
                    *bits.get_or_insert(found.clone()) == found,
                    "{what}: other bits"
                );
            }
            for (threads, fewer) in [(1, 1), (2, 5), (3, 2)] {
                let some = run(&g, options(winograd, set), threads, fewer);
                for (some, all) in some.iter().zip(&found) {
                    let own = &all[..all.len() / images * fewer];
                    assert!(some == own, "{what}: {threads} threads, {fewer} images");
                }
            }
        }
    }
}

/// The largest error and the root of the mean square error, as shares of the root of the mean
/// square of what is expected, or of 1 where that is less.
fn errors(found: &[f32], expected: &[f64]) -> (f64, f64) {
    let root = |sum: f64| (sum / expected.len() as f64).sqrt();
    let scale = root(expected.iter().map(|e| e * e).sum()).max(1.0);
    let pairs = found.iter().zip(expected);
    let differences = pairs.map(|(&f, e)| (f64::from(f) - e).abs());
    let largest = differences.clone().fold(0.0, f64::max);
    (
        largest / scale,
        root(differences.map(|d| d * d).sum()) / scale,
    )
}

/// Layers of Wide ResNets, CIFAR ResNets and ResNet-50.
const REAL: [(&str, usize, usize); 9] = [
    ("ResNet-20", 16, 32),
    ("ResNet-20", 64, 8),
    ("WRN-40-2", 128, 8),
    ("WRN-28-10", 160, 32),
    ("WRN-28-10", 320, 16),
    ("WRN-28-10", 640, 8),
    ("ResNet-50", 64, 56),
    ("ResNet-50", 256, 14),
    ("ResNet-50", 512, 7),
];

/// What docs/engine.md says of rounding errors; `--nocapture` shows the numbers.
#[test]
fn rounding_errors_are_about_those_of_direct_multiplication() {
    println!("| layer | direct, largest | rms | 2x2, largest | rms | 4x4, largest | rms |");
    for (name, channels, extent) in REAL {
        for (output, direction) in ["forward", "gradient"].iter().enumerate() {
            // The errors do not depend on how many outputs a layer has.
            let (few, extent) = (channels.min(24), [extent.min(16); 2]);
            let [inner, outer] = [[channels, few], [few, channels]][output];
            let g = both(layer(inner, outer, extent));
            let expected = exact(&g, 1);
            let set = InstructionSet::available()[0];
            let ways = [Winograd::Never, Winograd::Tiles2, Winograd::Tiles4];
            let found = ways.map(|winograd| run(&g, options(winograd, set), 1, 1));
            let [direct, two, four] =
                [0, 1, 2].map(|w| errors(&found[w][output], &expected[output]));
            let numbers = [direct, two, four].map(|(l, rms)| format!("{l:.1e} | {rms:.1e}"));
            println!(
                "| {name}, {channels} channels, {direction} | {} |",
                numbers.join(" | ")
            );
            let what = format!("{name}, {channels} channels, {direction}");
            assert!(two.1 < 1.5 * direct.1 && two.0 < 3.0 * direct.0, "{what}");
            assert!(four.1 < 4.0 * direct.1 && four.0 < 6.0 * direct.0, "{what}");
        }
    }
}

/// Which layers are transformed, as the program tells: both directions alike.
#[test]
fn the_shapes_choose_the_tiles() {
    let cases = [
        (layer(160, 160, [32, 32]), " by winograd 4x4"),
        (layer(320, 320, [16, 16]), " by winograd 4x4"),
        (layer(640, 640, [8, 8]), " by winograd 2x2"),
        (layer(256, 256, [14, 14]), " by winograd 4x4"),
        (layer(512, 512, [7, 7]), " by winograd 2x2"),
        (layer(512, 512, [4, 4]), ""),
        (layer(16, 16, [32, 32]), " by winograd 4x4"),
        (layer(48, 12, [32, 32]), " by winograd 4x4"),
        (layer(48, 12, [16, 16]), " by winograd 2x2"),
        (layer(48, 12, [8, 8]), " by winograd 2x2"),
        (layer(3, 24, [32, 32]), ""),
    ];
    for (layer, how) in cases {
        let engine = Engine::new(&both(layer), 1).unwrap();
        let steps = engine.program().steps;
        for name in ["conv 3x3", "conv-transpose 3x3"] {
            let mut steps = steps.iter().map(|step| &step.what[..]);
            let step = steps.find(|what| what.starts_with(name)).unwrap();
            let rest = step[name.len()..].split(" > ").next().unwrap();
            assert_eq!(rest, how, "{layer:?}: {step}");
        }
    }
}
