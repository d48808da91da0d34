//! Products in bf16 against the interpreter in f64, with budgets that follow from the rounding of
//! their operands.

use crate::numbers;
use odin_cpu::{Bf16Instructions, Engine, Options, Output, Precision, StepPrecision};
use odin_graph::op::{Compare, Window};
use odin_graph::{Array, Graph, Shape, Tensor, Type, ValueId, interpret, vjp};

/// A layer, with constant weights unless it multiplies two values.
#[derive(Debug, Clone)]
enum Layer {
    /// Channels, output channels, spatial extents, window, groups.
    Conv(usize, usize, Vec<usize>, Window, usize),
    /// The gradient of such a convolution with respect to its input.
    Adjoint(usize, usize, Vec<usize>, Window, usize),
    /// `[m, k]` times constant `[k, n]`.
    Linear(usize, usize, usize),
    /// Constant `[m, k]` times `[k, n]`.
    LinearLeft(usize, usize, usize),
    /// A batch of `[m, k]` times `[k, n]`.
    Products(usize, usize, usize, usize),
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window::new(&[kernel; 2]).stride(stride).pad(pad)
}

fn layers() -> Vec<Layer> {
    use Layer::*;
    let mut dilated = window(3, 1, 2);
    dilated.dilations = vec![2, 1];
    vec![
        Conv(48, 12, vec![32, 32], window(3, 1, 1), 1),
        Conv(12, 48, vec![16, 16], window(3, 1, 1), 1),
        Conv(3, 24, vec![20, 17], window(3, 1, 1), 1),
        Conv(3, 64, vec![37, 40], window(7, 2, 3), 1),
        Conv(5, 40, vec![9, 7], window(3, 2, 1), 1),
        Conv(33, 17, vec![7, 7], dilated, 1),
        Conv(256, 130, vec![7, 7], window(3, 1, 1), 1),
        Conv(130, 140, vec![8, 8], window(3, 1, 1), 1),
        Conv(128, 128, vec![14, 14], window(3, 1, 1), 1),
        Conv(160, 96, vec![15, 4], window(3, 2, 1), 1),
        Conv(8, 20, vec![9, 9], window(3, 1, 1), 2),
        Conv(7, 9, vec![50], Window::new(&[5]).pad(2), 1),
        // More padding than a vector.
        Conv(4, 8, vec![20, 20], window(35, 1, 17), 1),
        Conv(4, 8, vec![40, 41], window(37, 2, 18), 1),
        Adjoint(8, 6, vec![20, 20], window(35, 1, 17), 1),
        Conv(342, 48, vec![16, 16], window(1, 1, 0), 1),
        Conv(513, 300, vec![7, 7], window(1, 1, 0), 1),
        Conv(1, 1, vec![1, 1], window(1, 1, 0), 1),
        Conv(64, 40, vec![14, 14], window(1, 2, 0), 1),
        Adjoint(3, 24, vec![16, 16], window(3, 1, 1), 1),
        Adjoint(3, 64, vec![19, 20], window(7, 2, 3), 1),
        Adjoint(20, 40, vec![7, 8], window(3, 2, 1), 1),
        Adjoint(20, 40, vec![7, 7], window(1, 2, 0), 1),
        Adjoint(300, 140, vec![7, 7], window(3, 2, 1), 1),
        Adjoint(130, 257, vec![14, 14], window(1, 1, 0), 1),
        Linear(197, 64, 80),
        Linear(1, 300, 10),
        Linear(33, 7, 31),
        LinearLeft(50, 40, 60),
        Products(3, 50, 32, 50),
        Products(2, 17, 33, 5),
    ]
}

/// A network of one layer: its inputs, and its result or the signs of it.
struct Network {
    graph: Graph,
    inputs: Vec<(String, Vec<usize>)>,
}

/// What of a layer is an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Result,
    Signs,
}

fn network(layer: &Layer, output: Part, weight: impl Fn(f32) -> f32) -> Network {
    let mut g = Graph::new();
    let mut inputs = Vec::new();
    let mut input = |g: &mut Graph, name: &str, shape: &[usize]| {
        inputs.push((name.to_string(), shape.to_vec()));
        g.input(name, Type::float(Shape::batched(shape))).unwrap()
    };
    let weights = |g: &mut Graph, shape: &[usize]| {
        let data = numbers(7, shape.iter().product());
        let data: Vec<f32> = data.into_iter().map(&weight).collect();
        g.constant(Tensor::new(shape.to_vec(), data).unwrap())
            .unwrap()
    };
    let y = match layer {
        Layer::Conv(inner, outer, extents, window, groups) => {
            let x = input(&mut g, "x", &[&[*inner][..], extents].concat());
            let shape = [&[*outer, inner / groups][..], &window.kernel].concat();
            let w = weights(&mut g, &shape);
            g.conv(x, w, None, window.clone(), *groups).unwrap()
        }
        Layer::Adjoint(inner, outer, extents, window, groups) => {
            let x = input(&mut g, "x", &[&[*inner][..], extents].concat());
            let shape = [&[*outer, inner / groups][..], &window.kernel].concat();
            let w = weights(&mut g, &shape);
            let y = g.conv(x, w, None, window.clone(), *groups).unwrap();
            let shape = g.shape(y).at(1)[1..].to_vec();
            let seed = input(&mut g, "seed", &shape);
            vjp(&mut g, y, seed, x).unwrap()
        }
        &Layer::Linear(m, k, n) => {
            let x = input(&mut g, "x", &[m, k]);
            let w = weights(&mut g, &[k, n]);
            g.mat_mul(x, w).unwrap()
        }
        &Layer::LinearLeft(m, k, n) => {
            let x = input(&mut g, "x", &[k, n]);
            let w = weights(&mut g, &[m, k]);
            g.mat_mul(w, x).unwrap()
        }
        &Layer::Products(batch, m, k, n) => {
            let x = input(&mut g, "x", &[batch, m, k]);
            let w = input(&mut g, "w", &[batch, k, n]);
            g.mat_mul(x, w).unwrap()
        }
    };
    let y = match output {
        Part::Result => y,
        Part::Signs => sign(&mut g, y),
    };
    g.output("y", y);
    Network { graph: g, inputs }
}

/// As ODIN takes the signs of a gradient.
fn sign(g: &mut Graph, x: ValueId) -> ValueId {
    let constants = [0.0, 1.0, -1.0].map(|c| g.constant(Tensor::scalar(c)).unwrap());
    let is_positive = g.compare(Compare::GreaterOrEqual, x, constants[0]).unwrap();
    g.select(is_positive, constants[1], constants[2]).unwrap()
}

impl Network {
    /// Inputs for some images; those of fewer images are the first of those of more.
    fn data(&self, images: usize) -> Vec<(&str, Vec<usize>, Vec<f32>)> {
        let inputs = self.inputs.iter().zip(1..);
        let data = inputs.map(|((name, shape), seed)| {
            let shape = [&[images][..], shape].concat();
            let data = numbers(seed, shape.iter().product());
            (&name[..], shape, data)
        });
        data.collect()
    }

    fn run(&self, options: Options, threads: usize, images: usize) -> Vec<f32> {
        let engine = Engine::with_options(&self.graph, threads, options).unwrap();
        let data = self.data(images);
        let data: Vec<(&str, &[f32])> = data.iter().map(|(n, _, d)| (*n, &d[..])).collect();
        match engine.run(images, &data).unwrap().remove(0) {
            Output::Float(y) => y,
            other => panic!("{other:?}"),
        }
    }

    fn exact(&self, images: usize, value: impl Fn(f32) -> f32) -> Vec<f64> {
        let data = self.data(images).into_iter().map(|(name, shape, data)| {
            let data = data.into_iter().map(|x| f64::from(value(x))).collect();
            (name, Array::new(shape, data))
        });
        let data: Vec<(&str, Array<f64>)> = data.collect();
        let outputs = interpret(&self.graph, &data).unwrap();
        outputs[0].floats().to_vec()
    }
}

fn fast(bf16: Bf16Instructions) -> Options {
    let mut options = Options::default();
    (options.precision, options.bf16) = (Precision::Fast, Some(bf16));
    options
}

/// Of each operand, bf16 keeps 8 bits, and two bf16 keep 16; a product that is left out or rounded
/// is wrong by at most so much of its magnitude.
const ONE_PART: f64 = 1.0 / 128.0;
const TWO_PARTS: f64 = 1.0 / 32768.0;

#[test]
fn products_in_bf16_are_within_their_budgets() {
    const IMAGES: usize = 5;
    for layer in layers() {
        let exact = network(&layer, Part::Result, |w| w).exact(IMAGES, |x| x);
        let magnitudes = network(&layer, Part::Result, f32::abs).exact(IMAGES, f32::abs);
        for bf16 in Bf16Instructions::available() {
            let what = format!("{layer:?}, {bf16}");
            let found = network(&layer, Part::Result, |w| w).run(fast(bf16), 1, IMAGES);
            let signs = network(&layer, Part::Signs, |w| w).run(fast(bf16), 1, IMAGES);
            assert_eq!(found.len(), exact.len(), "{what}");
            for i in 0..exact.len() {
                let error = (f64::from(found[i]) - exact[i]).abs();
                let budget = TWO_PARTS * magnitudes[i] + 1e-30;
                assert!(
                    error <= budget,
                    "{what}: {i}: {} is not {}",
                    found[i],
                    exact[i]
                );
                if exact[i].abs() > ONE_PART * magnitudes[i] {
                    assert_eq!(f64::from(signs[i]), exact[i].signum(), "{what}: {i}");
                }
            }
        }
    }
}

/// On one instruction set scores and directions do not depend on how many images are computed at a
/// time, and by how many threads.
#[test]
fn batches_and_threads_do_not_change_the_bits() {
    let all_parts = |layer| [(layer, Part::Result), (layer, Part::Signs)];
    for (layer, part) in layers().iter().flat_map(all_parts) {
        let network = network(layer, part, |w| w);
        for bf16 in Bf16Instructions::available() {
            let all = network.run(fast(bf16), 1, 5);
            for (threads, images) in [(1, 1), (2, 5), (3, 2), (2, 1)] {
                let some = network.run(fast(bf16), threads, images);
                let own = &all[..all.len() / 5 * images];
                assert!(
                    some == own,
                    "{layer:?}, {part:?}, {bf16}: {threads} threads, {images} images"
                );
            }
        }
    }
}

/// Which precision a layer has where it is scored, and where it is a direction.
#[test]
fn the_shapes_and_the_outputs_choose_the_precision() {
    use Layer::*;
    use StepPrecision::{Bf16, F32, TwiceBf16};
    let sets = Bf16Instructions::available();
    // Others have no rate that makes up for three products.
    let Some(&bf16) = sets.iter().find(|set| set.to_string() == "AMX") else {
        return;
    };
    for (layer, scored, direction) in [
        (
            Conv(64, 40, vec![14, 14], window(1, 1, 0), 1),
            TwiceBf16,
            Bf16,
        ),
        (
            Conv(64, 40, vec![14, 14], window(3, 2, 1), 1),
            TwiceBf16,
            Bf16,
        ),
        (
            Conv(64, 40, vec![16, 16], window(3, 1, 1), 1),
            TwiceBf16,
            Bf16,
        ),
        // By Winograd's method.
        (Conv(64, 24, vec![16, 16], window(3, 1, 1), 1), F32, Bf16),
        // Few outputs, in all or in a group.
        (Conv(64, 7, vec![14, 14], window(1, 1, 0), 1), F32, F32),
        (Conv(64, 64, vec![14, 14], window(3, 2, 1), 64), F32, F32),
        (Conv(64, 64, vec![14, 14], window(3, 2, 1), 16), F32, F32),
        (
            Conv(64, 64, vec![14, 14], window(3, 2, 1), 2),
            TwiceBf16,
            Bf16,
        ),
        (Linear(197, 64, 80), TwiceBf16, Bf16),
    ] {
        for (part, expected) in [(Part::Result, scored), (Part::Signs, direction)] {
            let network = network(&layer, part, |w| w);
            let engine = Engine::with_options(&network.graph, 1, fast(bf16)).unwrap();
            let program = engine.program();
            let step = program.steps.iter().find(|step| step.flops > 0).unwrap();
            assert_eq!(step.precision, expected, "{layer:?}, {part:?}");
            assert_eq!(
                program.bf16.is_some(),
                expected != F32,
                "{layer:?}, {part:?}"
            );
        }
    }
}

/// Without instructions for it, `fast` is what `exact` is.
#[test]
fn processors_without_bf16_compute_in_f32() {
    let network = network(&layers()[0], Part::Result, |w| w);
    let mut options = Options::default();
    let exact = network.run(options, 1, 1);
    (options.precision, options.bf16) = (Precision::Fast, None);
    assert!(network.run(options, 1, 1) == exact);
}
