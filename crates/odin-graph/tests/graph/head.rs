//! The last linear layer is found however a network writes it.

use odin_graph::op::{Binary, Gemm, Unary, Window};
use odin_graph::{
    Array, Graph, LinearHead, Op, Shape, Tensor, Type, ValueId, interpret, linear_head,
};

const CLASSES: usize = 3;
const WIDTH: usize = 2;
/// `[classes, D]`.
const WEIGHT: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// `[D, classes]`.
const TRANSPOSED: [f32; 6] = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
const BIAS: [f32; 3] = [0.5, -0.5, 0.25];

fn constant(g: &mut Graph, shape: &[usize], data: &[f32]) -> ValueId {
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

/// A network whose features are the squares of its inputs, and whose end `end` adds.
fn network(extents: &[usize], end: impl Fn(&mut Graph, ValueId) -> ValueId) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(extents))).unwrap();
    let features = g.mul(x, x).unwrap();
    let logits = end(&mut g, features);
    g.output("logits", logits);
    g
}

fn gemm(alpha: f32, beta: f32, trans_b: bool) -> Op {
    Op::Gemm(Gemm {
        alpha,
        beta,
        trans_a: false,
        trans_b,
    })
}

/// `features · weightᵀ + bias` equals the logits.
fn check(name: &str, g: &Graph, head: &LinearHead) {
    assert_eq!(head.weight.shape(), [CLASSES, WIDTH], "{name}");
    assert_eq!(head.bias.shape(), [CLASSES], "{name}");
    let mut with_features = g.clone();
    with_features.output("features", head.features);
    let shape = g.inputs().next().unwrap().1.ty.shape.at(2);
    let images = Array::new(shape, vec![0.5f64, -2.0, 3.0, 0.25]);
    let outputs = interpret(&with_features, &[("x", images)]).unwrap();
    let (logits, features) = (outputs[0].floats(), outputs[1].floats());
    for (logits, features) in logits.chunks(CLASSES).zip(features.chunks(WIDTH)) {
        for (class, logit) in logits.iter().enumerate() {
            let row = &head.weight.data()[class * WIDTH..][..WIDTH];
            let products = row.iter().zip(features).map(|(&w, f)| f64::from(w) * f);
            let expected = products.sum::<f64>() + f64::from(head.bias.data()[class]);
            assert!(
                (logit - expected).abs() < 1e-9,
                "{name}: {logit} {expected}"
            );
        }
    }
}

#[test]
fn every_way_to_write_it_is_found() {
    type End = fn(&mut Graph, ValueId) -> ValueId;
    let cases: [(&str, &[usize], End); 9] = [
        ("linear", &[WIDTH], |g, x| {
            let w = constant(g, &[CLASSES, WIDTH], &WEIGHT);
            let b = constant(g, &[CLASSES], &BIAS);
            g.linear(x, w, Some(b)).unwrap()
        }),
        ("Gemm of [D, C]", &[WIDTH], |g, x| {
            let w = constant(g, &[WIDTH, CLASSES], &TRANSPOSED);
            g.add(gemm(1.0, 1.0, false), &[x, w]).unwrap()
        }),
        ("Gemm with factors", &[WIDTH], |g, x| {
            let w = constant(g, &[CLASSES, WIDTH], &WEIGHT);
            let b = constant(g, &[1, CLASSES], &BIAS);
            g.add(gemm(0.5, 2.0, true), &[x, w, b]).unwrap()
        }),
        ("MatMul", &[WIDTH], |g, x| {
            let w = constant(g, &[WIDTH, CLASSES], &TRANSPOSED);
            g.mat_mul(x, w).unwrap()
        }),
        ("MatMul and Add", &[WIDTH], |g, x| {
            let w = constant(g, &[WIDTH, CLASSES], &TRANSPOSED);
            let b = constant(g, &[CLASSES], &BIAS);
            let y = g.mat_mul(x, w).unwrap();
            g.add_values(b, y).unwrap()
        }),
        ("two additions, one of them a number", &[WIDTH], |g, x| {
            let w = constant(g, &[WIDTH, CLASSES], &TRANSPOSED);
            let b = constant(g, &[CLASSES], &BIAS);
            let y = g.mat_mul(x, w).unwrap();
            let y = g.add_values(y, b).unwrap();
            let one = g.scalar(1.0).unwrap();
            g.add_values(y, one).unwrap()
        }),
        (
            "a logit scale, after and before additions",
            &[WIDTH],
            |g, x| {
                let w = constant(g, &[WIDTH, CLASSES], &TRANSPOSED);
                let b = constant(g, &[CLASSES], &BIAS);
                let y = g.mat_mul(x, w).unwrap();
                let y = g.add_values(y, b).unwrap();
                let scale = g.scalar(100.0).unwrap();
                let y = g.mul(scale, y).unwrap();
                let one = g.scalar(1.0).unwrap();
                let y = g.add_values(y, one).unwrap();
                let half = g.scalar(0.5).unwrap();
                g.mul(y, half).unwrap()
            },
        ),
        ("convolution and flattening", &[WIDTH, 1, 1], |g, x| {
            let w = constant(g, &[CLASSES, WIDTH, 1, 1], &WEIGHT);
            let b = constant(g, &[CLASSES], &BIAS);
            let y = g.conv(x, w, Some(b), Window::new(&[1, 1]), 1).unwrap();
            g.flatten(y).unwrap()
        }),
        ("flattening first", &[1, 2, 1], |g, x| {
            let x = g.flatten(x).unwrap();
            let w = constant(g, &[CLASSES, WIDTH], &WEIGHT);
            g.linear(x, w, None).unwrap()
        }),
    ];
    for (name, extents, end) in cases {
        let g = network(extents, end);
        let head = linear_head(&g).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        check(name, &g, &head);
    }
}

#[test]
fn what_is_no_linear_layer_is_named() {
    type End = fn(&mut Graph, ValueId) -> ValueId;
    let cases: [(&str, &[usize], End); 4] = [
        ("Relu", &[3], |g, x| g.at("last").relu(x).unwrap()),
        ("Mul", &[3], |g, x| g.at("last").mul(x, x).unwrap()),
        ("Add", &[3], |g, x| {
            let y = g.unary(Unary::Exp, x).unwrap();
            g.at("last").add(Op::Binary(Binary::Add), &[x, y]).unwrap()
        }),
        ("Conv", &[2, 2, 2], |g, x| {
            // Its kernel covers more than one pixel.
            let w = constant(g, &[3, 2, 2, 2], &[1.0; 24]);
            let y = g
                .at("last")
                .conv(x, w, None, Window::new(&[2, 2]), 1)
                .unwrap();
            g.flatten(y).unwrap()
        }),
    ];
    for (operator, extents, end) in cases {
        let reason = linear_head(&network(extents, end)).unwrap_err();
        assert!(
            reason.contains(operator) && reason.contains("last"),
            "{operator}: {reason}"
        );
    }
}
