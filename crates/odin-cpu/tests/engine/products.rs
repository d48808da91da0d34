//! Matrix products with what surrounds them: operators that are applied to their tiles, and operands
//! that are read where they lie. Engine against interpreter, and the steps that the engine made.

use crate::operators::{check, constant};
use odin_cpu::Engine;
use odin_graph::op::*;
use odin_graph::{Graph, Op, Shape, Type, ValueId, vjp};

fn input(g: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    g.input(name, Type::float(Shape::batched(shape))).unwrap()
}

/// The steps of the program, as `odin explain` names them.
fn steps(g: &Graph) -> Vec<String> {
    let program = Engine::new(g, 1).unwrap().program();
    program.steps.into_iter().map(|step| step.what).collect()
}

/// `x / 2 · (1 + erf(x / √2))`.
fn gelu(g: &mut Graph, x: ValueId) -> ValueId {
    let [half, root, one] = [0.5, 2.0_f32.sqrt(), 1.0].map(|c| g.scalar(c).unwrap());
    let scaled = g.div(x, root).unwrap();
    let erf = g.unary(Unary::Erf, scaled).unwrap();
    let sum = g.add_values(erf, one).unwrap();
    let y = g.mul(x, sum).unwrap();
    g.mul(y, half).unwrap()
}

/// What is applied to a product of `[rows, k]` with `[k, columns]`.
type Applied = fn(&mut Graph, ValueId, [usize; 2]) -> ValueId;

#[test]
fn operators_are_applied_to_tiles() {
    let cases: [(&str, Applied); 6] = [
        ("add", |g, y, [_, columns]| {
            let bias = constant(g, &[columns]);
            g.add_values(y, bias).unwrap()
        }),
        ("add", |g, y, [rows, columns]| {
            let bias = constant(g, &[columns]);
            let y = g.add_values(y, bias).unwrap();
            let other = input(g, "other", &[rows, columns]);
            g.add_values(y, other).unwrap()
        }),
        ("add div erf mul", |g, y, [_, columns]| {
            let bias = constant(g, &[columns]);
            let y = g.add_values(y, bias).unwrap();
            gelu(g, y)
        }),
        ("mul sub tanh", |g, y, [rows, columns]| {
            let per_row = input(g, "per row", &[rows, 1]);
            let per_column = input(g, "per column", &[1, columns]);
            let y = g.mul(y, per_row).unwrap();
            let y = g.sub(per_column, y).unwrap();
            g.unary(Unary::Tanh, y).unwrap()
        }),
        ("greater where", |g, y, [rows, columns]| {
            let other = input(g, "other", &[rows, columns]);
            let zero = g.scalar(0.0).unwrap();
            let mask = g.compare(Compare::Greater, other, zero).unwrap();
            g.select(mask, y, other).unwrap()
        }),
        ("mul sin", |g, y, [rows, columns]| {
            let flat = g.reshape(y, Shape::batched(&[rows * columns])).unwrap();
            let two = g.scalar(2.0).unwrap();
            let y = g.mul(flat, two).unwrap();
            g.unary(Unary::Sin, y).unwrap()
        }),
    ];
    for [rows, k, columns] in [[3, 5, 1], [13, 7, 33], [25, 300, 95], [1, 4, 70]] {
        for (words, apply) in &cases {
            let mut g = Graph::new();
            let x = input(&mut g, "x", &[rows, k]);
            let w = constant(&mut g, &[k, columns]);
            let y = g.mat_mul(x, w).unwrap();
            let y = apply(&mut g, y, [rows, columns]);
            g.output("y", y);
            let what = format!("{words} after {rows}x{k}x{columns}");
            check(&what, &g);
            let fused = format!("matmul > {words}");
            assert!(steps(&g).contains(&fused), "{what}: {:?}", steps(&g));
        }
    }
}

/// `alpha` and the addend come first.
#[test]
fn operators_are_applied_to_a_gemm() {
    for (alpha, beta) in [(1.0, 1.0), (0.5, 2.0)] {
        let mut g = Graph::new();
        let x = input(&mut g, "x", &[37]);
        let (w, c) = (constant(&mut g, &[37, 45]), constant(&mut g, &[45]));
        let gemm = Gemm {
            alpha,
            beta,
            trans_a: false,
            trans_b: false,
        };
        let y = g.add(Op::Gemm(gemm), &[x, w, c]).unwrap();
        let y = gelu(&mut g, y);
        g.output("y", y);
        check(&format!("{gemm:?}"), &g);
        assert!(steps(&g).contains(&"gemm > div erf add mul".to_string()));
    }
}

/// A product that something else reads as well is stored.
#[test]
fn products_with_other_readers_are_stored() {
    let mut g = Graph::new();
    let x = input(&mut g, "x", &[9, 20]);
    let w = constant(&mut g, &[20, 40]);
    let product = g.mat_mul(x, w).unwrap();
    let active = gelu(&mut g, product);
    let gradient = vjp(&mut g, active, active, x).unwrap();
    g.output("product", product);
    g.output("active", active);
    g.output("gradient", gradient);
    check("gelu and its gradient", &g);
    assert!(steps(&g).contains(&"matmul".to_string()));
}

/// Attention of several heads, as PyTorch exports it, with its gradient or without.
fn attention(tokens: usize, heads: usize, width: usize, with_gradient: bool) -> Graph {
    let mut g = Graph::new();
    let all = heads * width;
    let x = input(&mut g, "x", &[tokens, all]);
    let w = constant(&mut g, &[all, 3 * all]);
    let y = g.mat_mul(x, w).unwrap();
    let y = g
        .reshape(y, Shape::batched(&[tokens, 3, heads, width]))
        .unwrap();
    let mut head = |index: usize, perm: &[usize]| {
        let cut = SliceAxis {
            axis: 2,
            start: index,
            end: index + 1,
            step: 1,
        };
        let part = g.slice(y, vec![cut]).unwrap();
        let part = g
            .reshape(part, Shape::batched(&[tokens, heads, width]))
            .unwrap();
        g.add(Op::Transpose(perm.to_vec()), &[part]).unwrap()
    };
    let [q, k, v] = [
        head(0, &[0, 2, 1, 3]),
        head(1, &[0, 2, 3, 1]),
        head(2, &[0, 2, 1, 3]),
    ];
    let scores = g.mat_mul(q, k).unwrap();
    let scale = g.scalar(0.25).unwrap();
    let scores = g.mul(scores, scale).unwrap();
    let weights = g.softmax(scores, 3).unwrap();
    let y = g.mat_mul(weights, v).unwrap();
    g.output("y", y);
    if with_gradient {
        let gradient = vjp(&mut g, y, y, x).unwrap();
        g.output("gradient", gradient);
    }
    g
}

#[test]
fn heads_are_read_where_they_lie() {
    for [tokens, heads, width] in [[5, 2, 3], [33, 3, 32], [40, 1, 64], [17, 2, 150], [1, 2, 8]] {
        for with_gradient in [false, true] {
            let g = attention(tokens, heads, width, with_gradient);
            let what = format!("{tokens} tokens, {heads} heads of {width}, {with_gradient}");
            check(&what, &g);
        }
    }
    let steps = steps(&attention(33, 3, 32, false));
    assert!(!steps.contains(&"transpose".to_string()), "{steps:?}");
    assert!(steps.contains(&"matmul > mul".to_string()), "{steps:?}");
}

/// A block that computes each token from itself, of which some tokens are classified, and the gradient.
fn classified_tokens(tokens: usize, kept: std::ops::Range<usize>, other_reader: bool) -> Graph {
    let mut g = Graph::new();
    let x = input(&mut g, "x", &[tokens, 6]);
    let mean = |g: &mut Graph, x: ValueId| g.reduce(x, ReduceKind::Mean, vec![2], true).unwrap();
    let center = mean(&mut g, x);
    let centered = g.sub(x, center).unwrap();
    let square = g.mul(centered, centered).unwrap();
    let variance = mean(&mut g, square);
    let one = g.scalar(1.0).unwrap();
    let variance = g.add_values(variance, one).unwrap();
    let deviation = g.unary(Unary::Sqrt, variance).unwrap();
    let normal = g.div(centered, deviation).unwrap();
    let (w, bias) = (constant(&mut g, &[6, 35]), constant(&mut g, &[35]));
    let wide = g.mat_mul(normal, w).unwrap();
    let wide = g.add_values(wide, bias).unwrap();
    let wide = gelu(&mut g, wide);
    let w = constant(&mut g, &[35, 6]);
    let narrow = g.mat_mul(wide, w).unwrap();
    let y = g.add_values(narrow, x).unwrap();
    let center = mean(&mut g, y);
    let y = g.sub(y, center).unwrap();
    let classified = SliceAxis {
        axis: 1,
        start: kept.start,
        end: kept.end,
        step: 1,
    };
    let token = g.slice(y, vec![classified]).unwrap();
    let token = g.reshape(token, Shape::batched(&[6 * kept.len()])).unwrap();
    let w = constant(&mut g, &[6 * kept.len(), 4]);
    let logits = g.mat_mul(token, w).unwrap();
    let gradient = vjp(&mut g, logits, logits, x).unwrap();
    g.output("logits", logits);
    g.output("gradient", gradient);
    if other_reader {
        g.output("all", y);
    }
    g
}

#[test]
fn tokens_that_nothing_depends_on_are_not_computed() {
    for (tokens, kept) in [(9, 0..1), (9, 8..9), (9, 3..5), (1, 0..1), (40, 0..39)] {
        let g = classified_tokens(tokens, kept.clone(), false);
        let what = format!("{kept:?} of {tokens} tokens");
        check(&what, &g);
        let flops = Engine::new(&g, 1).unwrap().program().flops();
        let (each, head) = (4 * 2 * 6 * 35, 2 * 2 * 4 * 6);
        assert_eq!(flops, ((each + head) * kept.len()) as u64, "{what}");
    }
    let all = classified_tokens(9, 0..1, true);
    check("all are outputs", &all);
    assert!(Engine::new(&all, 1).unwrap().program().flops() > 9 * 2 * 2 * 6 * 35);
}
