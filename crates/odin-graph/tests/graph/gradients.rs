//! Every gradient rule against central finite differences in f64, over random attributes and
//! shapes, and over random small graphs.

use odin_graph::op::*;
use odin_graph::{
    Array, Dim, Error, Graph, Op, Shape, Tensor, Type, ValueId, interpret, verify, vjp,
    without_gradient,
};
use proptest::prelude::*;

/// A function of one input, `x [2, dims...]`, and the data to try it on.
struct Case {
    graph: Graph,
    x: ValueId,
    y: ValueId,
}

const BATCH: usize = 2;

/// Values that no comparison ties and that stay away from 0, where ReLU has no derivative.
fn distinct(count: usize, seed: u64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = seed | 1;
    for i in (1..count).rev() {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
        .iter()
        .map(|&i| (i as f64 + 0.5) / count as f64 * 4.0 - 2.0)
        .collect()
}

fn weights(g: &mut Graph, shape: &[usize], seed: u64) -> ValueId {
    let data: Vec<f32> = distinct(shape.iter().product(), seed)
        .iter()
        .map(|&v| v as f32)
        .collect();
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

/// Builds `y = f(x)`; `None` when the attributes do not fit the shape.
fn case(
    dims: &[usize],
    f: impl FnOnce(&mut Graph, ValueId) -> Result<ValueId, Error>,
) -> Option<Case> {
    let mut graph = Graph::new();
    let x = graph.input("x", Type::float(Shape::batched(dims))).unwrap();
    let y = f(&mut graph, x).ok()?;
    Some(Case { graph, x, y })
}

/// Compares `vjp` with `(f(x + h e_i) - f(x - h e_i)) / 2h` for every entry.
fn check(case: Case, seed: u64) {
    let Case { mut graph, x, y } = case;
    let dy = graph.input("dy", graph.ty(y).clone()).unwrap();
    let dx = vjp(&mut graph, y, dy, x).unwrap();
    graph.output("y", y);
    graph.output("dx", dx);
    verify(&graph).unwrap();
    assert_eq!(graph.ty(dx), graph.ty(x));

    let x_shape = graph.shape(x).at(BATCH);
    let y_shape = graph.shape(y).at(BATCH);
    let cotangent = distinct(y_shape.iter().product(), seed ^ 0x5eed);
    let point = distinct(x_shape.iter().product(), seed);
    let run = |x: &[f64]| {
        let inputs = [
            ("x", Array::new(x_shape.clone(), x.to_vec())),
            ("dy", Array::new(y_shape.clone(), cotangent.clone())),
        ];
        interpret(&graph, &inputs).unwrap()
    };
    let value = |x: &[f64]| -> f64 {
        run(x)[0]
            .floats()
            .iter()
            .zip(&cotangent)
            .map(|(y, c)| y * c)
            .sum()
    };
    let gradient = run(&point)[1].floats().to_vec();
    let h = 1e-6;
    for i in 0..point.len() {
        let moved = |by: f64| {
            let mut x = point.clone();
            x[i] += by;
            value(&x)
        };
        let here = value(&point);
        let (right, left) = ((moved(h) - here) / h, (here - moved(-h)) / h);
        let scale = 1.0 + right.abs();
        if (right - left).abs() > 1e-3 * scale {
            continue; // a maximum changes hands at this very point: there is no derivative
        }
        // Where a maximum changes hands nearby, on one side, the other side has the derivative.
        let central = (right + left) / 2.0;
        let differences = [central, right, left];
        assert!(
            differences.map(|d| (gradient[i] - d).abs() < 2e-6 * scale) != [false; 3],
            "entry {i}: vjp {}, finite differences {differences:?}\n{graph}",
            gradient[i]
        );
    }
}

prop_compose! {
    fn window(axes: usize)(
        kernel in prop::collection::vec(1usize..4, axes),
        strides in prop::collection::vec(1usize..4, axes),
        dilations in prop::collection::vec(1usize..3, axes),
        pads_begin in prop::collection::vec(0usize..3, axes),
        pads_end in prop::collection::vec(0usize..3, axes),
    ) -> Window {
        Window { kernel, strides, dilations, pads_begin, pads_end }
    }
}

/// A window and the spatial extents that it slides over.
fn window_and_extents() -> impl Strategy<Value = (Window, Vec<usize>)> {
    (1usize..4).prop_flat_map(|axes| {
        let largest = if axes == 3 { 4 } else { 7 };
        (window(axes), prop::collection::vec(1usize..largest, axes))
    })
}

fn with_channels(channels: usize, spatial: &[usize]) -> Vec<usize> {
    [&[channels], spatial].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn conv((w, spatial) in window_and_extents(), groups in 1usize..3, c in 1usize..3, m in 1usize..3, seed: u64) {
        let dims = with_channels(c * groups, &spatial);
        let built = case(&dims, |g, x| {
            let shape = [&[m * groups, c], &w.kernel[..]].concat();
            let (weights, bias) = (weights(g, &shape, seed), weights(g, &[m * groups], seed));
            g.conv(x, weights, Some(bias), w.clone(), groups)
        });
        if let Some(case) = built { check(case, seed) }
    }

    #[test]
    fn conv_transpose((w, spatial) in window_and_extents(), extra in 0usize..3, groups in 1usize..3, c in 1usize..3, m in 1usize..3, seed: u64) {
        let dims = with_channels(c * groups, &spatial);
        let built = case(&dims, |g, x| {
            let shape = [&[c * groups, m], &w.kernel[..]].concat();
            let weights = weights(g, &shape, seed);
            let output_padding = vec![extra; w.axes()];
            g.add(Op::ConvTranspose(ConvTranspose { window: w.clone(), output_padding, groups }), &[x, weights])
        });
        if let Some(case) = built { check(case, seed) }
    }

    #[test]
    fn pools((w, spatial) in window_and_extents(), kind in 0..3, seed: u64) {
        let built = case(&with_channels(2, &spatial), |g, x| match kind {
            0 => g.max_pool(x, w.clone()),
            1 => g.avg_pool(x, w.clone(), true),
            _ => g.avg_pool(x, w.clone(), false),
        });
        if let Some(case) = built { check(case, seed) }
    }

    #[test]
    fn slice_and_pad(
        extents in prop::collection::vec(1usize..8, 3),
        cuts in prop::collection::vec((0usize..7, 1usize..9, 1usize..4), 3),
        borders in prop::collection::vec((0usize..3, 0usize..3), 3),
        seed: u64,
    ) {
        let axes = (0..3).zip(&cuts).map(|(i, &(start, end, step))| SliceAxis { axis: i + 1, start, end, step });
        let sliced = case(&extents, |g, x| g.slice(x, axes.collect()));
        if let Some(case) = sliced { check(case, seed) }
        let axes = (0..3).zip(&borders).map(|(i, &(before, after))| PadAxis { axis: i + 1, before, after });
        let padded = case(&extents, |g, x| g.pad(x, axes.collect(), 0.5));
        check(padded.unwrap(), seed);
    }

    #[test]
    fn gemm(trans_a: bool, trans_b: bool, role in 0usize..3, k in 1usize..4, m in 1usize..4, l in 1usize..4, seed: u64) {
        let gemm = Gemm { alpha: 0.5, beta: 2.0, trans_a, trans_b };
        let swap = |t: bool, r: usize, c: usize| if t { [c, r] } else { [r, c] };
        // The operand in question is computed from x by summing over the batch-free axes.
        let shapes = [swap(trans_a, m, k), swap(trans_b, k, l), [1, l]];
        let mut graph = Graph::new();
        let x = graph.input("x", Type::float(Shape::fixed(&shapes[role]))).unwrap();
        let operands: Vec<ValueId> = (0..3)
            .map(|i| if i == role { x } else { weights(&mut graph, &shapes[i], seed + i as u64) })
            .collect();
        let y = graph.add(Op::Gemm(gemm), &operands).unwrap();
        check(Case { graph, x, y }, seed);
    }

    /// A chain of operators picked at random, each applied where it fits.
    #[test]
    fn random_graphs(picks in prop::collection::vec(0usize..20, 1..7), seed: u64) {
        let built = case(&[2, 4, 4], |g, x| {
            let mut y = x;
            let mut earlier = x;
            for (i, &pick) in picks.iter().enumerate() {
                let next = layer(g, pick, y, earlier, seed.wrapping_add(i as u64));
                earlier = y;
                y = next.unwrap_or(y);
            }
            Ok(y)
        });
        check(built.unwrap(), seed);
    }
}

/// One more operator on `y`; `earlier` is another value at hand.
fn layer(
    g: &mut Graph,
    pick: usize,
    y: ValueId,
    earlier: ValueId,
    seed: u64,
) -> Result<ValueId, Error> {
    let rank = g.shape(y).rank();
    let channels = g.shape(y).dims()[1].at(1);
    let spatial = Window::new(&vec![2; rank.saturating_sub(2)]);
    match pick {
        0 => {
            let mut shape = vec![2, channels];
            shape.extend(&spatial.kernel);
            let w = weights(g, &shape, seed);
            g.conv(y, w, None, spatial.pad(1), 1)
        }
        1 => {
            let [scale, shift, mean] =
                [1, 2, 3].map(|i| weights(g, &[channels], seed.wrapping_add(i)));
            let var = g.constant(Tensor::vector(vec![0.7; channels]))?;
            g.batch_norm(y, [scale, shift, mean, var], 1e-5)
        }
        2 => g.relu(y),
        3 => g.max_pool(y, spatial),
        4 => g.avg_pool(y, spatial.pad(1), seed.is_multiple_of(2)),
        5 => g.add_values(y, earlier),
        6 => g.mul(y, earlier),
        7 => g.concat(&[y, earlier, y], 1),
        8 => g.softmax(y, 1),
        9 => g.add(Op::LogSoftmax(Axis(1)), &[y]),
        10 => {
            let mut dims = g.shape(y).dims().to_vec();
            dims.swap(1, rank - 1);
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(1, rank - 1);
            g.add(Op::Transpose(perm), &[y])
        }
        11 => g.global_average_pool(y),
        12 => g.unary(Unary::Sigmoid, y),
        13 => g.unary(Unary::Tanh, y),
        14 => g.unary(Unary::Erf, y),
        15 => g.unary(Unary::Softplus, y),
        16 => clip(g, y, -1.5, 1.25),
        17 => g.add(Op::Binary(Binary::Max), &[y, earlier]),
        18 => g.reduce(y, ReduceKind::Max, vec![rank - 1], true),
        _ => g.sub(earlier, y),
    }
}

#[test]
fn elementwise_and_layout_rules() {
    type Build = fn(&mut Graph, ValueId) -> Result<ValueId, Error>;
    let cases: [(&str, Build); 30] = [
        ("relu", |g, x| g.relu(x)),
        ("divide by a vector", |g, x| {
            let w = weights(g, &[4], 3);
            g.div(x, w)
        }),
        ("divide a vector", |g, x| {
            let w = weights(g, &[4], 3);
            g.div(w, x)
        }),
        ("subtract from a scalar", |g, x| {
            let w = weights(g, &[], 3);
            g.sub(w, x)
        }),
        ("multiply by a wider value", |g, x| {
            let w = weights(g, &[1, 3, 4], 3);
            let s = g.reduce(x, ReduceKind::Sum, vec![1], true)?;
            g.mul(w, s)
        }),
        ("reduce and drop axes", |g, x| {
            g.reduce(x, ReduceKind::Mean, vec![1, 2], false)
        }),
        ("expand", |g, x| {
            let s = g.reduce(x, ReduceKind::Sum, vec![2], true)?;
            g.expand(s, Shape::batched(&[3, 5]))
        }),
        ("reshape across the batch axis", |g, x| {
            g.reshape(x, Shape::new([Dim::PerImage(3), Dim::Fixed(4)]))
        }),
        ("select, both branches", |g, x| {
            let zero = g.scalar(0.0)?;
            let mask = g.compare(Compare::Greater, x, zero)?;
            let square = g.mul(x, x)?;
            g.select(mask, square, x)
        }),
        ("matmul on the left", |g, x| {
            let w = weights(g, &[4, 2], 3);
            g.mat_mul(x, w)
        }),
        ("matmul on the right, batched", |g, x| {
            let w = weights(g, &[2, 3], 3);
            g.mat_mul(w, x)
        }),
        ("clip", |g, x| clip(g, x, -0.7, 0.9)),
        ("clip from below only", |g, x| {
            clip(g, x, -0.7, f32::INFINITY)
        }),
        ("cos", |g, x| g.unary(Unary::Cos, x)),
        ("sin", |g, x| g.unary(Unary::Sin, x)),
        ("erf", |g, x| g.unary(Unary::Erf, x)),
        ("exp", |g, x| g.unary(Unary::Exp, x)),
        ("log of a square", |g, x| {
            let square = g.mul(x, x)?;
            g.unary(Unary::Log, square)
        }),
        ("sigmoid", |g, x| g.unary(Unary::Sigmoid, x)),
        ("softplus", |g, x| g.unary(Unary::Softplus, x)),
        ("sqrt of a square", |g, x| {
            let square = g.mul(x, x)?;
            g.unary(Unary::Sqrt, square)
        }),
        ("tanh", |g, x| g.unary(Unary::Tanh, x)),
        ("a power", |g, x| {
            let (positive, third) = (g.unary(Unary::Exp, x)?, g.scalar(0.3)?);
            g.add(Op::Binary(Binary::Pow), &[positive, third])
        }),
        ("a power of a negative number", |g, x| {
            let three = g.scalar(3.0)?;
            g.add(Op::Binary(Binary::Pow), &[x, three])
        }),
        ("an exponent", |g, x| {
            let base = g.constant(Tensor::vector(vec![0.5, 1.0, 1.5, 2.0]))?;
            g.add(Op::Binary(Binary::Pow), &[base, x])
        }),
        ("maximum with a vector", |g, x| {
            let w = weights(g, &[4], 3);
            g.add(Op::Binary(Binary::Max), &[x, w])
        }),
        ("minimum of two values", |g, x| {
            let square = g.mul(x, x)?;
            g.add(Op::Binary(Binary::Min), &[square, x])
        }),
        ("largest along axes", |g, x| {
            g.reduce(x, ReduceKind::Max, vec![1, 2], true)
        }),
        ("largest along an axis, dropped", |g, x| {
            g.reduce(x, ReduceKind::Max, vec![2], false)
        }),
        ("matmul with itself", |g, x| {
            let t = g.add(Op::Transpose(vec![0, 2, 1]), &[x])?;
            g.mat_mul(x, t)
        }),
    ];
    for (name, build) in cases {
        let case = case(&[3, 4], build).unwrap_or_else(|| panic!("{name} does not build"));
        for seed in 1..4 {
            check(
                Case {
                    graph: case.graph.clone(),
                    ..case
                },
                seed,
            );
        }
    }
}

fn clip(g: &mut Graph, x: ValueId, min: f32, max: f32) -> Result<ValueId, Error> {
    g.unary(Unary::Clip { min, max }, x)
}

/// Where an operator has no derivative, the gradient is the one that PyTorch chooses.
#[test]
fn gradients_where_there_is_no_derivative() {
    type Build = fn(&mut Graph, ValueId) -> Result<ValueId, Error>;
    let cases: [(&str, Build, [f64; 3], [f64; 3]); 5] = [
        ("relu", |g, x| g.relu(x), [0.0, 1.0, -1.0], [0.0, 1.0, 0.0]),
        (
            "clip",
            |g, x| clip(g, x, 0.0, 6.0),
            [0.0, 6.0, 3.0],
            [0.0, 0.0, 1.0],
        ),
        (
            "maximum with 1",
            |g, x| {
                let one = g.scalar(1.0)?;
                g.add(Op::Binary(Binary::Max), &[x, one])
            },
            [1.0, 2.0, 0.0],
            [0.5, 1.0, 0.0],
        ),
        (
            "largest of all",
            |g, x| g.reduce(x, ReduceKind::Max, vec![1], false),
            [2.0, 1.0, 2.0],
            [0.5, 0.0, 0.5],
        ),
        (
            "largest under a window",
            |g, x| {
                let image = g.reshape(x, Shape::batched(&[1, 3]))?;
                let pooled = g.max_pool(image, Window::new(&[3]))?;
                g.reshape(pooled, Shape::batched(&[1]))
            },
            [2.0, 1.0, 2.0],
            [1.0, 0.0, 0.0],
        ),
    ];
    for (name, build, point, expected) in cases {
        let Case { mut graph, x, y } = case(&[3], build).unwrap();
        let dy = graph.input("dy", graph.ty(y).clone()).unwrap();
        let dx = vjp(&mut graph, y, dy, x).unwrap();
        graph.output("dx", dx);
        let dy_shape = graph.shape(y).at(1);
        let ones = vec![1.0; dy_shape.iter().product()];
        let inputs = [
            ("x", Array::new(vec![1, 3], point.to_vec())),
            ("dy", Array::new(dy_shape, ones)),
        ];
        let gradient = interpret(&graph, &inputs).unwrap();
        assert_eq!(gradient[0].floats(), expected, "{name}");
    }
}

/// Pools by the gradient of a maximum, which has no gradient itself.
fn pool_without_gradient(g: &mut Graph, place: &str, x: ValueId) -> Result<ValueId, Error> {
    let ones = g.constant(Tensor::new(vec![1, 1, 2], vec![1.0; 2])?)?;
    let dy = g.expand(ones, Shape::batched(&[1, 2]))?;
    let window = Window::new(&[2]).stride(2);
    g.at(place).add(Op::MaxPoolGrad(window), &[x, dy])
}

#[test]
fn every_missing_rule_is_named() {
    type Build = fn(&mut Graph, ValueId) -> Result<ValueId, Error>;
    let cases: [(&str, Build, &[&str]); 5] = [
        ("nothing", |g, x| g.relu(x), &[]),
        (
            "one",
            |g, x| pool_without_gradient(g, "head", x),
            &["head: MaxPoolGrad"],
        ),
        (
            "one behind the other, and one beside",
            |g, x| {
                let y = pool_without_gradient(g, "first", x)?;
                let y = g.at("between").relu(y)?;
                let y = pool_without_gradient(g, "second", y)?;
                let beside = pool_without_gradient(g, "beside", x)?;
                g.at("sum").add_values(y, beside)
            },
            &[
                "first: MaxPoolGrad",
                "second: MaxPoolGrad",
                "beside: MaxPoolGrad",
            ],
        ),
        (
            "both operands of one",
            |g, x| {
                let window = Window::new(&[2]).stride(2);
                let dy = g.add(
                    Op::AvgPool(AvgPool {
                        window: window.clone(),
                        count_padding: true,
                    }),
                    &[x],
                )?;
                g.at("head").add(Op::MaxPoolGrad(window), &[x, dy])
            },
            &["head: MaxPoolGrad"],
        ),
        (
            "off the path",
            |g, x| {
                pool_without_gradient(g, "unused", x)?;
                g.at("used").relu(x)
            },
            &[],
        ),
    ];
    for (name, f, expected) in cases {
        let case = case(&[1, 4], f).unwrap();
        let mut graph = case.graph;
        let missing = without_gradient(&graph, case.y, case.x).unwrap();
        let described: Vec<String> = missing.iter().map(|&v| graph.describe(v)).collect();
        assert_eq!(described.len(), expected.len(), "{name}: {described:?}");
        for (described, expected) in described.iter().zip(expected) {
            assert!(described.starts_with(expected), "{name}: {described}");
        }
        let dy = graph.input("dy", graph.ty(case.y).clone()).unwrap();
        match (vjp(&mut graph, case.y, dy, case.x), missing.is_empty()) {
            (Ok(_), true) => {}
            (Err(error), false) => {
                assert_eq!(error.kind(), odin_graph::ErrorKind::NoGradient, "{name}");
                let named = described
                    .iter()
                    .any(|d| error.to_string().starts_with(d.as_str()));
                assert!(named, "{name}: {error}");
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
}
