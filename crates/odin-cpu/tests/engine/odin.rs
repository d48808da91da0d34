//! The whole of ODIN on a small DenseNet-like graph, and what a caller may get wrong.

use crate::numbers;
use crate::rounding::{self, Bounded};
use odin_cpu::{Engine, ErrorKind, Options, Output};
use odin_graph::op::Window;
use odin_graph::{Array, Graph, Shape, Tensor, Type, ValueId, odin};
use proptest::prelude::*;

fn weights(g: &mut Graph, shape: &[usize]) -> ValueId {
    let data = numbers(g.nodes().len() as u32, shape.iter().product());
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

fn channels(g: &Graph, x: ValueId) -> usize {
    g.shape(x).dims()[1].at(1)
}

fn conv(g: &mut Graph, x: ValueId, m: usize, kernel: usize, stride: usize) -> ValueId {
    let w = weights(g, &[m, channels(g, x), kernel, kernel]);
    let window = Window::new(&[kernel, kernel])
        .pad(kernel / 2)
        .stride(stride);
    g.conv(x, w, None, window, 1).unwrap()
}

fn norm_relu(g: &mut Graph, x: ValueId) -> ValueId {
    let c = channels(g, x);
    let (scale, shift, mean) = (weights(g, &[c]), weights(g, &[c]), weights(g, &[c]));
    let var = g.constant(Tensor::vector(vec![1.5; c])).unwrap();
    let y = g.batch_norm(x, [scale, shift, mean, var], 1e-5).unwrap();
    g.relu(y).unwrap()
}

/// What a layer of the network may be.
#[derive(Debug, Clone, Copy)]
enum Layer {
    Dense,
    Residual,
    Strided,
    MaxPool,
    AvgPool,
}

fn classifier(layers: &[Layer]) -> Graph {
    let mut net = Graph::new();
    let g = &mut net;
    let x = g
        .input("x", Type::float(Shape::batched(&[3, 8, 8])))
        .unwrap();
    let mut y = conv(g, x, 4, 3, 1);
    for layer in layers {
        let a = norm_relu(g, y);
        let c = channels(g, y);
        let extent = g.shape(a).dims()[2].at(1);
        y = match layer {
            Layer::Dense => {
                let b = conv(g, a, 8, 1, 1);
                let b = norm_relu(g, b);
                let new = conv(g, b, 3, 3, 1);
                g.concat(&[y, new], 1).unwrap()
            }
            Layer::Residual => {
                let b = conv(g, a, c, 3, 1);
                g.add_values(y, b).unwrap()
            }
            Layer::Strided => conv(g, a, 5, 3, 2),
            Layer::MaxPool if extent > 1 => {
                let window = Window::new(&[3, 3]).stride(2).pad(1);
                g.max_pool(a, window).unwrap()
            }
            Layer::AvgPool if extent > 1 => g
                .avg_pool(a, Window::new(&[2, 2]).stride(2), false)
                .unwrap(),
            Layer::MaxPool | Layer::AvgPool => a,
        };
    }
    y = norm_relu(g, y);
    y = g.global_average_pool(y).unwrap();
    y = g.flatten(y).unwrap();
    let (w, b) = (weights(g, &[5, channels(g, y)]), weights(g, &[5]));
    let logits = g.linear(y, w, Some(b)).unwrap();
    g.output("logits", logits);
    net
}

const STEP: [f32; 3] = [0.05, 0.04, 0.03];

/// ODIN with the direction of the perturbation as its last output.
fn with_direction(classifier: &Graph) -> Graph {
    let extras = odin::Extras {
        direction: true,
        ..odin::Extras::default()
    };
    odin::transform_with(classifier, 1, extras).unwrap()
}

fn run(engine: &Engine, pixels: &[f32]) -> Vec<Output> {
    let images = pixels.len() / 192;
    let inputs: [(&str, &[f32]); 3] = [("x", pixels), ("temperature", &[10.0]), ("step", &STEP)];
    engine.run(images, &inputs).unwrap()
}

fn floats(output: &Output) -> &[f32] {
    match output {
        Output::Float(data) => data,
        other => panic!("{other:?}"),
    }
}

fn wide(data: &[f32], shape: &[usize]) -> Array<f64> {
    let data = data.iter().map(|&v| f64::from(v)).collect();
    Array::new(shape.to_vec(), data)
}

const IMAGES: [usize; 4] = [2, 3, 8, 8];

/// The bounds of all that ODIN computes of these images.
fn expected(g: &Graph, pixels: &[f32]) -> Vec<Bounded> {
    let inputs = [
        ("x", wide(pixels, &IMAGES)),
        ("temperature", wide(&[10.0], &[])),
        ("step", wide(&STEP, &[1, 3, 1, 1])),
    ];
    rounding::outputs(g, &inputs)
}

/// The bounds of the logits of the images that are perturbed along a direction.
fn perturbed_logits(classifier: &Graph, pixels: &[f32], direction: &[f32]) -> Bounded {
    let step = |i: usize| STEP[i / 64 % 3];
    let moved = pixels.iter().zip(direction).enumerate();
    let moved: Vec<f32> = moved.map(|(i, (x, s))| x - s * step(i)).collect();
    rounding::outputs(classifier, &[("x", wide(&moved, &IMAGES))]).swap_remove(0)
}

/// Logits, predictions and signs are those of the interpreter; a sign may differ only where the
/// gradient is within the bound of its rounding errors of zero. The perturbed logits are those of
/// the interpreter for the images perturbed along the signs that were *found*.
fn agrees(
    classifier: &Graph,
    expected: &[Bounded],
    pixels: &[f32],
    found: &[Output],
) -> Result<(), String> {
    for (output, name) in [(0, "logits"), (1, "prediction"), (3, "direction")] {
        let checked = rounding::check(&found[output], &expected[output]);
        checked.map_err(|difference| format!("{name}, {difference}"))?;
    }
    let signs = floats(&found[3]);
    if signs.iter().any(|s| s.abs() != 1.0) {
        return Err("a direction that is neither 1 nor -1".to_string());
    }
    let logits = perturbed_logits(classifier, pixels, signs);
    let checked = rounding::check(&found[2], &logits);
    checked.map_err(|difference| format!("perturbed logits, {difference}"))
}

/// How many signs are uncertain.
fn agrees_with_interpreter(layers: &[Layer]) -> usize {
    let classifier = classifier(layers);
    let g = with_direction(&classifier);
    let pixels = numbers(5, 2 * 192);
    let found = run(&Engine::new(&g, 1).unwrap(), &pixels);
    let expected = expected(&g, &pixels);
    agrees(&classifier, &expected, &pixels, &found).unwrap();
    expected[3].error.iter().filter(|&&e| e > 0.0).count()
}

/// A wrong sign is seen, and so are perturbed logits of another direction.
#[test]
fn wrong_signs_are_seen() {
    let classifier = classifier(&[Layer::Dense, Layer::MaxPool]);
    let g = with_direction(&classifier);
    let pixels = numbers(5, 2 * 192);
    let found = run(&Engine::new(&g, 1).unwrap(), &pixels);
    let expected = expected(&g, &pixels);
    agrees(&classifier, &expected, &pixels, &found).unwrap();
    let certain: Vec<usize> = (0..384).filter(|&i| expected[3].error[i] == 0.0).collect();
    let mut moved = 0;
    for &i in &certain {
        let mut signs = floats(&found[3]).to_vec();
        signs[i] = -signs[i];
        // The logits are still those of the true direction.
        let logits = perturbed_logits(&classifier, &pixels, &signs);
        moved += usize::from(rounding::check(&found[2], &logits).is_err());
        let mut wrong = found.clone();
        wrong[3] = Output::Float(signs);
        agrees(&classifier, &expected, &pixels, &wrong).unwrap_err();
    }
    // But for pixels behind inactive units.
    let all = certain.len();
    assert!(2 * moved > all, "{moved} of {all} signs move a logit");
}

#[test]
fn a_dense_net() {
    use Layer::{AvgPool, Dense};
    let uncertain = agrees_with_interpreter(&[Dense, Dense, AvgPool, Dense, Dense]);
    assert!(uncertain <= 4, "{uncertain} of 384 signs are uncertain");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_network(
        layers in prop::collection::vec(prop::sample::select(vec![
            Layer::Dense, Layer::Residual, Layer::Strided, Layer::MaxPool, Layer::AvgPool,
        ]), 0..5),
    ) {
        agrees_with_interpreter(&layers);
    }
}

#[test]
fn neither_batch_nor_threads_change_a_bit() {
    use Layer::{AvgPool, Dense, MaxPool, Residual, Strided};
    let layers = [Dense, Residual, MaxPool, Residual, AvgPool, Strided];
    let g = with_direction(&classifier(&layers));
    let pixels = numbers(6, 7 * 192);
    let engine = Engine::new(&g, 1).unwrap();
    let whole = run(&engine, &pixels);
    for threads in 2..6 {
        let found = run(&Engine::new(&g, threads).unwrap(), &pixels);
        // Not `assert_eq`, which would print them.
        assert!(whole == found, "{threads} threads");
    }
    for batch in 1..7 {
        let parts: Vec<Vec<Output>> = pixels
            .chunks(batch * 192)
            .map(|p| run(&engine, p))
            .collect();
        for output in [0, 2, 3] {
            let joined: Vec<f32> = parts
                .iter()
                .flat_map(|p| floats(&p[output]).to_vec())
                .collect();
            assert_eq!(floats(&whole[output]), joined, "batches of {batch}");
        }
    }
}

#[test]
fn a_batch_axis_that_is_not_the_first() {
    let mut g = Graph::new();
    let x = g
        .input(
            "x",
            Type::float(Shape::new([2.into(), odin_graph::Dim::BATCH, 1.into()])),
        )
        .unwrap();
    let y = g.relu(x).unwrap();
    g.output("y", y);
    let outputs = Engine::new(&g, 2)
        .unwrap()
        .run(3, &[("x", &[1., 2., 3., 4., 5., 6.])])
        .unwrap();
    assert_eq!(floats(&outputs[0]), [1., 2., 3., 4., 5., 6.]);
}

#[test]
fn wrong_inputs_are_named() {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[2]))).unwrap();
    g.output("y", x);
    let engine = Engine::new(&g, 1).unwrap();
    type Inputs<'a> = &'a [(&'a str, &'a [f32])];
    let cases: [(usize, Inputs<'_>, &str); 6] = [
        (1, &[], "\"x\" is missing"),
        (1, &[("z", &[])], "no input \"z\""),
        (
            2,
            &[("x", &[1.0])],
            "must hold 4 elements for 2 images, it holds 1",
        ),
        (1, &[("x", &[1.0, 2.0]), ("x", &[1.0, 2.0])], "twice"),
        (0, &[("x", &[])], "at least one image"),
        (usize::MAX, &[("x", &[])], "too many"),
    ];
    for (images, inputs, message) in cases {
        let error = engine.run(images, inputs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[1]))).unwrap();
    let huge = g.expand(x, Shape::batched(&[1 << 29])).unwrap();
    let sum = g
        .reduce(huge, odin_graph::op::ReduceKind::Sum, vec![1], false)
        .unwrap();
    g.output("sum", sum);
    let mut options = Options::default();
    options.max_thread_bytes = Some(1 << 30);
    let error = Engine::with_options(&g, 1, options)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("need 2147483"), "{error}");
    let engine = Engine::new(&g, 1).unwrap();
    assert!(engine.memory_per_thread() >= 1 << 31);
}

/// Callers that share an engine neither wait for each other for ever nor disturb each other.
#[test]
fn several_callers_at_once() {
    let g = odin::transform(&classifier(&[Layer::Dense, Layer::Residual]), 1).unwrap();
    let pixels = numbers(6, 3 * 192);
    let engine = Engine::new(&g, 2).unwrap();
    let expected = run(&engine, &pixels);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert!(run(&engine, &pixels) == expected);
                }
            });
        }
    });
}

/// However many threads share an image, each step has a time.
#[test]
fn every_step_takes_its_time() {
    let g = odin::transform(&classifier(&[Layer::Dense, Layer::Residual]), 1).unwrap();
    let pixels = numbers(6, 192);
    let begun = std::time::Instant::now();
    for threads in [1, 3] {
        let engine = Engine::new(&g, threads).unwrap();
        let inputs: [(&str, &[f32]); 3] = [
            ("x", &pixels),
            (odin::names::TEMPERATURE, &[1000.0]),
            (odin::names::STEP, &[0.01; 3]),
        ];
        let times = engine.times(&inputs, 5, &|| begun.elapsed()).unwrap();
        assert_eq!(times.len(), engine.program().steps.len());
        let all: std::time::Duration = times.iter().sum();
        assert!(!all.is_zero() && 5 * all <= begun.elapsed(), "{times:?}");
    }
}
