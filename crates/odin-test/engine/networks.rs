//! The whole of ODIN on small networks, an engine against the reference interpreter.

use crate::rounding::{self, Bounded};
use crate::subject::Output;
use crate::{numbers, subject};
use odin_graph::op::{PadAxis, Unary, Window};
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

/// A batch normalisation and a clip of both sides, as ReLU6.
fn norm_clip(g: &mut Graph, x: ValueId) -> ValueId {
    let c = channels(g, x);
    let (scale, shift, mean) = (weights(g, &[c]), weights(g, &[c]), weights(g, &[c]));
    let var = g.constant(Tensor::vector(vec![1.5; c])).unwrap();
    let y = g.batch_norm(x, [scale, shift, mean, var], 1e-5).unwrap();
    let (min, max) = (0.0, 0.5);
    g.unary(Unary::Clip { min, max }, y).unwrap()
}

/// The block of MobileNetV2, with padding by an operator of its own, as TensorFlow's networks have it:
/// more of it behind where windows step by two.
fn inverted_residual(g: &mut Graph, x: ValueId, stride: usize) -> ValueId {
    let c = channels(g, x);
    let y = conv(g, x, 3 * c, 1, 1);
    let y = norm_clip(g, y);
    let border = |axis| PadAxis {
        axis,
        before: 2 - stride,
        after: 1,
    };
    let padded = g.pad(y, vec![border(2), border(3)], 0.0).unwrap();
    let w = weights(g, &[3 * c, 1, 3, 3]);
    let window = Window::new(&[3, 3]).stride(stride);
    let y = g.conv(padded, w, None, window, 3 * c).unwrap();
    let y = norm_clip(g, y);
    let y = conv(g, y, c, 1, 1);
    match stride {
        1 => g.add_values(x, y).unwrap(),
        _ => y,
    }
}

/// What a layer of the network may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layer {
    Dense,
    Residual,
    Strided,
    MaxPool,
    AvgPool,
    /// Depthwise convolutions and ReLU6.
    Mobile,
    MobileStrided,
}

pub(crate) fn classifier(layers: &[Layer]) -> Graph {
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
            Layer::Mobile => inverted_residual(g, y, 1),
            Layer::MobileStrided if extent > 1 => inverted_residual(g, y, 2),
            Layer::MaxPool if extent > 1 => {
                let window = Window::new(&[3, 3]).stride(2).pad(1);
                g.max_pool(a, window).unwrap()
            }
            Layer::AvgPool if extent > 1 => g
                .avg_pool(a, Window::new(&[2, 2]).stride(2), false)
                .unwrap(),
            Layer::MaxPool | Layer::AvgPool | Layer::MobileStrided => a,
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
pub(crate) fn with_direction(classifier: &Graph) -> Graph {
    let extras = odin::Extras {
        direction: true,
        ..odin::Extras::default()
    };
    odin::transform_with(classifier, 1, extras).unwrap()
}

/// The inputs of a run, and how many images they are of.
pub(crate) fn inputs(pixels: &[f32]) -> (usize, [(&'static str, &[f32]); 3]) {
    let inputs = [("x", pixels), ("temperature", &[10.0][..]), ("step", &STEP)];
    (pixels.len() / 192, inputs)
}

fn run(g: &Graph, pixels: &[f32]) -> Vec<Output> {
    let (images, inputs) = inputs(pixels);
    subject::runs(g, images, &inputs).swap_remove(0).1
}

pub(crate) fn floats(output: &Output) -> &[f32] {
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
    let found = run(&g, &pixels);
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
    let found = run(&g, &pixels);
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

#[test]
fn a_mobile_net() {
    use Layer::{Mobile, MobileStrided};
    let uncertain = agrees_with_interpreter(&[Mobile, MobileStrided, Mobile, MobileStrided]);
    assert!(uncertain <= 4, "{uncertain} of 384 signs are uncertain");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(subject::NETWORKS))]
    #[test]
    fn any_network(
        layers in prop::collection::vec(prop::sample::select(vec![
            Layer::Dense, Layer::Residual, Layer::Strided, Layer::MaxPool, Layer::AvgPool,
            Layer::Mobile, Layer::MobileStrided,
        ]), 0..5),
    ) {
        agrees_with_interpreter(&layers);
    }
}
