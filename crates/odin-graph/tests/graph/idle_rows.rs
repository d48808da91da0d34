//! Rows that nothing depends on are left out, and the results stay what they were.

use odin_graph::cost::node_multiply_adds;
use odin_graph::op::{PadAxis, ReduceKind, SliceAxis, Unary};
use odin_graph::passes::eliminate_idle_rows;
use odin_graph::{Array, Graph, Shape, Tensor, Type, Value, ValueId, interpret};

const ROWS: usize = 6;
const FEATURES: usize = 4;

fn numbers(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 37 % 23) as f32 - 11.0) / 8.0)
        .collect()
}

fn constant(g: &mut Graph, shape: &[usize]) -> ValueId {
    let data = numbers(shape.iter().product());
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

fn cut(axis: usize, start: usize, end: usize, step: usize) -> SliceAxis {
    SliceAxis {
        axis,
        start,
        end,
        step,
    }
}

fn border(axis: usize, before: usize, after: usize) -> PadAxis {
    PadAxis {
        axis,
        before,
        after,
    }
}

/// A row-wise network of tokens: sum, product with a constant, activation, product, sum.
fn block(g: &mut Graph, x: ValueId) -> ValueId {
    let (w1, w2) = (constant(g, &[FEATURES, 8]), constant(g, &[8, FEATURES]));
    let bias = constant(g, &[8]);
    let hidden = g.mat_mul(x, w1).unwrap();
    let hidden = g.add_values(hidden, bias).unwrap();
    let hidden = g.unary(Unary::Tanh, hidden).unwrap();
    let y = g.mat_mul(hidden, w2).unwrap();
    g.add_values(y, x).unwrap()
}

/// `x / sqrt(mean(x²) + shift)` along the last axis.
fn normalised(g: &mut Graph, x: ValueId, shift: Option<f32>) -> ValueId {
    let square = g.mul(x, x).unwrap();
    let mean = g.reduce(square, ReduceKind::Mean, vec![2], true).unwrap();
    let mean = match shift {
        Some(shift) => {
            let shift = g.scalar(shift).unwrap();
            g.add_values(mean, shift).unwrap()
        }
        None => mean,
    };
    let root = g.unary(Unary::Sqrt, mean).unwrap();
    g.div(x, root).unwrap()
}

fn multiply_adds(g: &Graph) -> u64 {
    let needed = g.needed_for_outputs();
    let values = g.values().filter(|v| needed[v.index()]);
    values.map(|v| node_multiply_adds(g, v)).sum()
}

type Build = fn(&mut Graph, ValueId) -> Vec<ValueId>;

/// Each with whether products are saved.
const CASES: &[(&str, bool, Build)] = &[
    ("one row of a block", true, |g, x| {
        let y = block(g, x);
        vec![g.slice(y, vec![cut(1, 0, 1, 1)]).unwrap()]
    }),
    ("two rows behind two blocks", true, |g, x| {
        let y = block(g, x);
        let y = block(g, y);
        vec![g.slice(y, vec![cut(1, 2, 4, 1)]).unwrap()]
    }),
    ("the whole is an output, too", false, |g, x| {
        let y = block(g, x);
        vec![y, g.slice(y, vec![cut(1, 0, 1, 1)]).unwrap()]
    }),
    ("every second row", false, |g, x| {
        let y = block(g, x);
        vec![g.slice(y, vec![cut(1, 0, 6, 2)]).unwrap()]
    }),
    ("rows and features", false, |g, x| {
        let y = block(g, x);
        vec![g.slice(y, vec![cut(1, 0, 1, 1), cut(2, 1, 3, 1)]).unwrap()]
    }),
    ("features of a product", false, |g, x| {
        let y = block(g, x);
        vec![g.slice(y, vec![cut(2, 1, 3, 1)]).unwrap()]
    }),
    ("rows mixed by a product from the left", false, |g, x| {
        let w = constant(g, &[ROWS, ROWS]);
        let y = g.mat_mul(w, x).unwrap();
        vec![g.slice(y, vec![cut(1, 0, 1, 1)]).unwrap()]
    }),
    ("padded rows through a product", true, |g, x| {
        let row = g.slice(x, vec![cut(1, 0, 1, 1)]).unwrap();
        let padded = g.pad(row, vec![border(1, 0, ROWS - 1)], 0.0).unwrap();
        let w = constant(g, &[FEATURES, 8]);
        vec![g.mat_mul(padded, w).unwrap()]
    }),
    ("padded with ones", false, |g, x| {
        let row = g.slice(x, vec![cut(1, 0, 1, 1)]).unwrap();
        let padded = g.pad(row, vec![border(1, 0, ROWS - 1)], 1.0).unwrap();
        let w = constant(g, &[FEATURES, 8]);
        vec![g.mat_mul(padded, w).unwrap()]
    }),
    ("padded rows normalised with a shift", true, |g, x| {
        let row = g.slice(x, vec![cut(1, 0, 1, 1)]).unwrap();
        let padded = g.pad(row, vec![border(1, 0, ROWS - 1)], 0.0).unwrap();
        let y = normalised(g, padded, Some(0.5));
        let w = constant(g, &[FEATURES, 8]);
        vec![g.mat_mul(y, w).unwrap()]
    }),
    // 0 / 0 is no number, in the rows that are padded.
    ("padded rows normalised without", false, |g, x| {
        let row = g.slice(x, vec![cut(1, 0, 1, 1)]).unwrap();
        let padded = g.pad(row, vec![border(1, 0, ROWS - 1)], 0.0).unwrap();
        let y = normalised(g, padded, None);
        let w = constant(g, &[FEATURES, 8]);
        vec![g.mat_mul(y, w).unwrap()]
    }),
    ("padded rows times infinity", false, |g, x| {
        let row = g.slice(x, vec![cut(1, 0, 1, 1)]).unwrap();
        let padded = g.pad(row, vec![border(1, 0, ROWS - 1)], 0.0).unwrap();
        let infinity = g.scalar(f32::INFINITY).unwrap();
        let y = g.mul(padded, infinity).unwrap();
        let w = constant(g, &[FEATURES, 8]);
        vec![g.mat_mul(y, w).unwrap()]
    }),
];

#[test]
fn results_stay_what_they_were() {
    for (name, is_saving, build) in CASES {
        let mut g = Graph::new();
        let shape = Shape::batched(&[ROWS, FEATURES]);
        let x = g.input("x", Type::float(shape)).unwrap();
        for (i, y) in build(&mut g, x).into_iter().enumerate() {
            g.output(format!("y{i}"), y);
        }
        let fewer = eliminate_idle_rows(&g).unwrap();
        odin_graph::verify(&fewer).unwrap();
        let saves = multiply_adds(&fewer) < multiply_adds(&g);
        assert_eq!(saves, *is_saving, "{name}");
        let data = numbers(2 * ROWS * FEATURES);
        let run = |g: &Graph| {
            let data: Vec<f64> = data.iter().map(|&x| f64::from(x)).collect();
            interpret(g, &[("x", Array::new(vec![2, ROWS, FEATURES], data))]).unwrap()
        };
        for (found, expected) in run(&fewer).iter().zip(&run(&g)) {
            let (Value::Float(found), Value::Float(expected)) = (found, expected) else {
                panic!("{name}: not of floats")
            };
            assert_eq!(found.shape(), expected.shape(), "{name}");
            for (f, e) in found.floats().iter().zip(expected.floats()) {
                assert!(
                    f == e || (f.is_nan() && e.is_nan()),
                    "{name}: {f} is not {e}"
                );
            }
        }
    }
}
