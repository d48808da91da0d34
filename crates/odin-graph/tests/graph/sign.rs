//! Which features cannot be negative is known from the graph; and which networks attend.

use odin_graph::op::{Axis, Binary, Compare, ReduceKind, Unary, Window};
use odin_graph::{Graph, Op, Shape, Tensor, Type, ValueId, has_attention, maybe_negative};

/// What is made of `x [N, 4, 2, 2]`, which may have any sign.
type Make = fn(&mut Graph, ValueId) -> ValueId;

fn made(make: Make) -> (Graph, ValueId) {
    let mut g = Graph::new();
    let ty = Type::float(Shape::batched(&[4, 2, 2]));
    let x = g.at("image").input("x", ty).unwrap();
    let value = make(&mut g, x);
    (g, value)
}

fn unary(g: &mut Graph, unary: Unary, x: ValueId) -> ValueId {
    g.at("last").unary(unary, x).unwrap()
}

fn binary(g: &mut Graph, binary: Binary, a: ValueId, b: ValueId) -> ValueId {
    g.at("last").add(Op::Binary(binary), &[a, b]).unwrap()
}

fn clip(min: f32, max: f32) -> Unary {
    Unary::Clip { min, max }
}

fn constant(g: &mut Graph, values: &[f32]) -> ValueId {
    g.constant(Tensor::vector(values)).unwrap()
}

#[test]
fn what_cannot_be_negative_is_known() {
    let cases: [(&str, Make); 16] = [
        ("ReLU, pooled", |g, x| {
            let y = g.relu(x).unwrap();
            let y = g.global_average_pool(y).unwrap();
            g.flatten(y).unwrap()
        }),
        ("ReLU6", |g, x| unary(g, clip(0.0, 6.0), x)),
        ("clipped behind a ReLU", |g, x| {
            let y = g.relu(x).unwrap();
            unary(g, clip(f32::NEG_INFINITY, 1.0), y)
        }),
        ("sigmoid", |g, x| unary(g, Unary::Sigmoid, x)),
        ("tanh of a ReLU", |g, x| {
            let y = g.relu(x).unwrap();
            unary(g, Unary::Tanh, y)
        }),
        ("square", |g, x| g.mul(x, x).unwrap()),
        ("even power", |g, x| {
            let two = constant(g, &[2.0]);
            binary(g, Binary::Pow, x, two)
        }),
        ("squeeze and excitation", |g, x| {
            let y = g.relu(x).unwrap();
            let gate = unary(g, Unary::Sigmoid, x);
            g.mul(y, gate).unwrap()
        }),
        ("sum of two ReLUs", |g, x| {
            let y = g.relu(x).unwrap();
            g.add_values(y, y).unwrap()
        }),
        ("largest of 0", |g, x| {
            let zero = constant(g, &[0.0]);
            binary(g, Binary::Max, x, zero)
        }),
        ("chosen above 0", |g, x| {
            let zero = constant(g, &[0.0]);
            let above = g.compare(Compare::Greater, x, zero).unwrap();
            g.select(above, x, zero).unwrap()
        }),
        ("concatenated ReLUs", |g, x| {
            let y = g.relu(x).unwrap();
            let z = g.max_pool(y, Window::new(&[1, 1])).unwrap();
            g.concat(&[y, z], 1).unwrap()
        }),
        ("normalised ReLU", |g, x| {
            let y = g.relu(x).unwrap();
            let sum = g.reduce(y, ReduceKind::Sum, vec![1], true).unwrap();
            let norm = unary(g, Unary::Sqrt, sum);
            g.div(y, norm).unwrap()
        }),
        ("softmax", |g, x| g.softmax(x, 1).unwrap()),
        ("mean as a product", |g, x| {
            let y = g.relu(x).unwrap();
            let y = g.reshape(y, Shape::batched(&[4, 4])).unwrap();
            let w = g.constant(Tensor::new(vec![4, 1], vec![0.25; 4]).unwrap());
            g.mat_mul(y, w.unwrap()).unwrap()
        }),
        ("positive constant", |g, _| constant(g, &[0.0, 3.0])),
    ];
    for (name, make) in cases {
        let (g, value) = made(make);
        assert_eq!(maybe_negative(&g, value), None, "{name}");
    }
}

#[test]
fn what_may_be_negative_is_named() {
    let cases: [(&str, &str, Make); 10] = [
        ("pixels", "image: Input", |g, x| {
            g.global_average_pool(x).unwrap()
        }),
        ("SiLU, pooled", "last: Mul", |g, x| {
            let gate = g.unary(Unary::Sigmoid, x).unwrap();
            let y = binary(g, Binary::Mul, x, gate);
            let y = g.global_average_pool(y).unwrap();
            g.flatten(y).unwrap()
        }),
        ("leaky ReLU", "last: Where", |g, x| {
            let (zero, slope) = (constant(g, &[0.0]), constant(g, &[0.1]));
            let low = g.mul(x, slope).unwrap();
            let above = g.compare(Compare::Greater, x, zero).unwrap();
            g.at("last").select(above, x, low).unwrap()
        }),
        ("chosen above -1", "last: Where", |g, x| {
            let (low, zero) = (constant(g, &[-1.0]), constant(g, &[0.0]));
            let above = g.compare(Compare::Greater, x, low).unwrap();
            g.at("last").select(above, x, zero).unwrap()
        }),
        ("hard tanh", "last: Clip", |g, x| {
            unary(g, clip(-1.0, 1.0), x)
        }),
        ("difference of ReLUs", "last: Sub", |g, x| {
            let y = g.relu(x).unwrap();
            binary(g, Binary::Sub, y, y)
        }),
        ("odd power", "last: Pow", |g, x| {
            let three = constant(g, &[3.0]);
            binary(g, Binary::Pow, x, three)
        }),
        ("one part of two", "last: Tanh", |g, x| {
            let (y, z) = (g.relu(x).unwrap(), unary(g, Unary::Tanh, x));
            g.concat(&[y, z], 1).unwrap()
        }),
        ("padded with -1", "last: Pad", |g, x| {
            let y = g.relu(x).unwrap();
            let axis = odin_graph::op::PadAxis {
                axis: 2,
                before: 1,
                after: 0,
            };
            g.at("last").pad(y, vec![axis], -1.0).unwrap()
        }),
        ("a layer behind a ReLU", "last: MatMul", |g, x| {
            let y = g.relu(x).unwrap();
            let y = g.reshape(y, Shape::batched(&[16])).unwrap();
            let w = g.constant(Tensor::new(vec![16, 1], vec![-0.5; 16]).unwrap());
            let y = g.at("last").mat_mul(y, w.unwrap()).unwrap();
            g.reshape(y, Shape::batched(&[1, 1])).unwrap()
        }),
    ];
    for (name, source, make) in cases {
        let (g, value) = made(make);
        let found = maybe_negative(&g, value).map(|v| g.describe(v));
        let found = found.unwrap_or_default();
        assert!(found.starts_with(source), "{name}: {found}");
    }
}

#[test]
fn attention_is_found() {
    /// `x` as a matrix of each image.
    fn matrix(g: &mut Graph, x: ValueId) -> ValueId {
        g.reshape(x, Shape::batched(&[4, 4])).unwrap()
    }
    let cases: [(&str, bool, Make); 5] = [
        ("attention", true, |g, x| {
            let x = matrix(g, x);
            let weights = g.softmax(x, 2).unwrap();
            g.mat_mul(weights, x).unwrap()
        }),
        ("masked and moved", true, |g, x| {
            let x = matrix(g, x);
            let weights = g.add(Op::Softmax(Axis(2)), &[x]).unwrap();
            let zero = constant(g, &[0.0]);
            let there = g.compare(Compare::Greater, x, zero).unwrap();
            let weights = g.select(there, weights, zero).unwrap();
            let weights = g.add(Op::Transpose(vec![0, 2, 1]), &[weights]).unwrap();
            g.mat_mul(x, weights).unwrap()
        }),
        ("a layer of probabilities", false, |g, x| {
            let x = matrix(g, x);
            let p = g.softmax(x, 2).unwrap();
            let w = g.constant(Tensor::new(vec![4, 4], vec![0.5; 16]).unwrap());
            g.mat_mul(p, w.unwrap()).unwrap()
        }),
        ("a product without a softmax", false, |g, x| {
            let x = matrix(g, x);
            g.mat_mul(x, x).unwrap()
        }),
        ("a softmax alone", false, |g, x| g.softmax(x, 1).unwrap()),
    ];
    for (name, expected, make) in cases {
        assert_eq!(has_attention(&made(make).0), expected, "{name}");
    }
}
