//! Operators: an engine against the reference interpreter.

use crate::{numbers, rounding, subject};
use odin_graph::op::*;
use odin_graph::{Array, Graph, Op, Shape, Tensor, Type, ValueId, vjp};

pub(super) fn constant(g: &mut Graph, shape: &[usize]) -> ValueId {
    let data = numbers(99, shape.iter().product());
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

/// A graph of one operator: operands whose shape is batched are inputs, the others constants.
fn single(op: Op, inputs: &[&[usize]], constants: &[&[usize]]) -> Graph {
    let mut g = Graph::new();
    let mut operands = Vec::new();
    for (i, shape) in inputs.iter().enumerate() {
        operands.push(
            g.input(&format!("x{i}"), Type::float(Shape::batched(shape)))
                .unwrap(),
        );
    }
    for shape in constants {
        operands.push(constant(&mut g, shape));
    }
    let y = g.add(op, &operands).unwrap();
    g.output("y", y);
    g
}

/// The inputs of a batch, and their shapes.
fn inputs(g: &Graph, images: usize) -> Vec<(&str, Vec<f32>, Vec<usize>)> {
    let input = |(i, (_, input)): (usize, (ValueId, &'_ Input))| {
        let shape = input.ty.shape.at(images);
        let data = numbers(i as u32 + 1, shape.iter().product());
        (data, shape)
    };
    let names = g.inputs().map(|(_, input)| &input.name[..]);
    let all = names.zip(g.inputs().enumerate().map(input));
    all.map(|(name, (data, shape))| (name, data, shape))
        .collect()
}

/// The outputs of a batch of three, engine against interpreter. Each element is within the bound of
/// its own rounding errors.
pub(super) fn check(what: &str, g: &Graph) {
    if !subject::takes(what) {
        return;
    }
    let images = 3;
    let inputs = inputs(g, images);
    let wide = |data: &[f32]| data.iter().map(|&v| f64::from(v)).collect();
    let arrays: Vec<(&str, Array<f64>)> = inputs
        .iter()
        .map(|(n, d, s)| (*n, Array::new(s.clone(), wide(d))))
        .collect();
    let slices: Vec<(&str, &[f32])> = inputs.iter().map(|(n, d, _)| (*n, &d[..])).collect();
    let expected = rounding::outputs(g, &arrays);
    for (how, found) in subject::runs(g, images, &slices) {
        for (found, expected) in found.iter().zip(&expected) {
            if let Err(difference) = rounding::check(found, expected) {
                panic!("{what}, {how}, {difference}");
            }
        }
    }
}

/// Windows over `axes` spatial axes of extent 7: strides, dilation, uneven padding.
fn windows(axes: usize) -> Vec<Window> {
    let kernel = |k: usize| Window::new(&vec![k; axes]);
    let mut uneven = kernel(3).stride(2);
    uneven.pads_begin.fill(2);
    uneven.pads_end[0] = 1;
    let mut longer = kernel(2);
    longer.kernel[axes - 1] = 3;
    let mut mixed = kernel(3).pad(1);
    mixed.strides[0] = 2;
    vec![
        kernel(1),
        kernel(1).stride(2),
        kernel(3),
        kernel(3).pad(1),
        kernel(3).stride(2).pad(1),
        kernel(2).dilation(2).pad(1),
        kernel(2).dilation(3).stride(3),
        uneven,
        longer,
        mixed,
    ]
}

#[test]
fn convolutions() {
    for axes in 1..=3 {
        for window in windows(axes) {
            for (c, m, groups) in [(2, 3, 1), (4, 2, 2), (3, 6, 3), (3, 3, 3)] {
                let what = format!("{axes}-D {window:?} {c} -> {m} in {groups}");
                let x = [&[c], &[7; 3][..axes]].concat();
                let w = [&[m, c / groups], &window.kernel[..]].concat();
                let conv = Op::Conv(Conv {
                    window: window.clone(),
                    groups,
                });
                check(&what, &single(conv, &[&x], &[&w, &[m]]));
                let w = [&[c, m / groups], &window.kernel[..]].concat();
                for padding in 0..2 {
                    let transpose = ConvTranspose {
                        window: window.clone(),
                        output_padding: vec![padding; axes],
                        groups,
                    };
                    let g = single(Op::ConvTranspose(transpose), &[&x], &[&w]);
                    check(&format!("transposed {what}"), &g);
                }
            }
        }
    }
}

/// Sizes that cross the edges of vectors, tiles and strips.
#[test]
fn convolutions_across_the_edges_of_blocks() {
    let shapes = [
        (1, 1, [1, 1]),
        (3, 13, [5, 33]),
        (17, 25, [16, 16]),
        (5, 48, [40, 32]),
        (40, 12, [9, 64]),
        (300, 7, [19, 23]),
    ];
    for (c, m, [height, width]) in shapes {
        for (kernel, stride) in [(1, 1), (3, 1), (1, 2), (3, 2), (5, 3)] {
            let window = Window::new(&[kernel; 2]).pad(kernel / 2).stride(stride);
            let what = format!("{kernel}x{kernel} / {stride} {c} -> {m} of {height}x{width}");
            let conv = Op::Conv(Conv {
                window: window.clone(),
                groups: 1,
            });
            let g = single(conv, &[&[c, height, width]], &[&[m, c, kernel, kernel]]);
            check(&what, &scaled(&g, 0.1));
            let y = [0, 1].map(|a| window.output_extent(a, [height, width][a]).unwrap());
            let transpose = ConvTranspose {
                output_padding: vec![0; 2],
                window,
                groups: 1,
            };
            let g = single(
                Op::ConvTranspose(transpose),
                &[&[m, y[0], y[1]]],
                &[&[m, c, kernel, kernel]],
            );
            check(&format!("transposed {what}"), &scaled(&g, 0.1));
        }
    }
}

/// Convolutions of single elements whose weights are many, in strips of more than 64 positions, of
/// large images and of several small ones.
#[test]
fn convolutions_of_many_weights() {
    let layers = [
        [300, 256, 5, 33],
        [420, 260, 25, 26],
        [700, 100, 1, 64],
        [700, 100, 7, 7],
        [300, 256, 13, 11],
    ];
    for [c, m, height, width] in layers {
        let window = Window::new(&[1, 1]);
        let what = format!("{c} -> {m} of {height}x{width}");
        let conv = Op::Conv(Conv {
            window: window.clone(),
            groups: 1,
        });
        let g = single(conv, &[&[c, height, width]], &[&[m, c, 1, 1]]);
        check(&what, &scaled(&g, 0.1));
        let transpose = ConvTranspose {
            output_padding: vec![0; 2],
            window,
            groups: 1,
        };
        let transpose = Op::ConvTranspose(transpose);
        let g = single(transpose, &[&[m, height, width]], &[&[m, c, 1, 1]]);
        check(&format!("transposed {what}"), &scaled(&g, 0.1));
    }
}

/// Channels that meet their own windows only, at sizes that cross the edges of vectors.
#[test]
fn depthwise_convolutions() {
    let extents = [[1, 1], [7, 7], [5, 33], [16, 16], [14, 70], [3, 128]];
    for extent in extents {
        for (kernel, stride, pad) in [(1, 2, 0), (3, 1, 1), (3, 2, 1), (5, 2, 2), (7, 1, 3)] {
            for (c, m, groups) in [(6, 6, 6), (3, 6, 3), (6, 2, 2), (9, 6, 3)] {
                let window = Window::new(&[kernel; 2]).pad(pad).stride(stride);
                let what = format!("{kernel} / {stride}, {c} -> {m} in {groups} of {extent:?}");
                let w: &[usize] = &[m, c / groups, kernel, kernel];
                let conv = Op::Conv(Conv {
                    window: window.clone(),
                    groups,
                });
                let x = [c, extent[0], extent[1]];
                check(&what, &single(conv, &[&x], &[w, &[m]]));
                // Even extents lose a line or get one more.
                let y = [0, 1].map(|a| window.output_extent(a, extent[a]).unwrap());
                for padding in 0..stride {
                    let transpose = ConvTranspose {
                        output_padding: vec![padding; 2],
                        window: window.clone(),
                        groups,
                    };
                    let g = single(Op::ConvTranspose(transpose), &[&[m, y[0], y[1]]], &[w]);
                    check(&format!("transposed {what}"), &scaled(&g, 0.2));
                }
            }
        }
    }
}

/// The same graph with its output multiplied, so that long sums stay near 1.
fn scaled(g: &Graph, factor: f32) -> Graph {
    let mut g = g.clone();
    let y = g.outputs()[0].value;
    let factor = g.scalar(factor).unwrap();
    let y = g.mul(y, factor).unwrap();
    g.clear_outputs();
    g.output("y", y);
    g
}

/// Chains of fused operators with ReLU or a clip, as prologues and epilogues of convolutions and alone, with the signs
/// of activations kept for gradients.
#[test]
fn fused_chains() {
    for (channels, extent, kernels) in [
        (5, 7, &[1, 3][..]),
        (12, 16, &[1, 3]),
        (3, 33, &[1, 3]),
        (100, 9, &[1]),
        (260, 3, &[1]),
    ] {
        for &kernel in kernels {
            for stages in 0..128_u32 {
                let what = format!("{channels} channels of {extent}, {kernel}, {stages:07b}");
                check(&what, &chain(channels, extent, kernel, stages, 1));
                if kernel > 1 {
                    let g = chain(channels, extent, kernel, stages, channels);
                    check(&format!("depthwise, {what}"), &g);
                }
            }
        }
    }
}

/// A network with the stages whose bits are set, and its gradient.
fn chain(channels: usize, extent: usize, kernel: usize, stages: u32, groups: usize) -> Graph {
    let mut g = Graph::new();
    let shape = Shape::batched(&[channels, extent, extent]);
    let x = g.input("x", Type::float(shape)).unwrap();
    let norm = |g: &mut Graph, x: ValueId| {
        let [scale, shift, mean] = [(); 3].map(|()| constant(g, &[channels]));
        let var = g.constant(Tensor::vector(vec![1.5; channels])).unwrap();
        g.batch_norm(x, [scale, shift, mean, var], 0.5).unwrap()
    };
    let mut y = x;
    if stages & 1 != 0 {
        y = norm(&mut g, y);
    }
    let activation = |g: &mut Graph, y: ValueId| match stages & 64 {
        0 => g.relu(y).unwrap(),
        _ => {
            let (min, max) = (-0.25, 0.5);
            g.unary(Unary::Clip { min, max }, y).unwrap()
        }
    };
    if stages & 2 != 0 {
        y = activation(&mut g, y);
    }
    let w = constant(&mut g, &[channels, channels / groups, kernel, kernel]);
    let bias = (stages & 4 != 0).then(|| constant(&mut g, &[channels]));
    let window = Window::new(&[kernel; 2]).pad(kernel / 2);
    y = g.conv(y, w, bias, window, groups).unwrap();
    if stages & 8 != 0 {
        y = norm(&mut g, y);
    }
    if stages & 16 != 0 {
        y = g.add_values(y, x).unwrap();
    }
    if stages & 32 != 0 {
        y = activation(&mut g, y);
    }
    let gradient = vjp(&mut g, y, y, x).unwrap();
    g.output("y", y);
    g.output("gradient", gradient);
    g
}

/// Bounds on one side, bounds that leave one number, and a mask that something else reads too.
#[test]
fn clips_of_convolutions() {
    const INFINITY: f32 = f32::INFINITY;
    for bounds in [
        [-0.25, 0.5],
        [0.0, INFINITY],
        [-INFINITY, 0.25],
        [-INFINITY, INFINITY],
        [0.25, 0.25],
    ] {
        for mask_is_read in [false, true] {
            let [min, max] = bounds;
            let mut g = Graph::new();
            let x = g.input("x", Type::float(Shape::batched(&[5, 7, 7])));
            let (x, w) = (x.unwrap(), constant(&mut g, &[6, 5, 3, 3]));
            let y = g.conv(x, w, None, Window::new(&[3, 3]), 1).unwrap();
            let y = g.unary(Unary::Clip { min, max }, y).unwrap();
            let gradient = vjp(&mut g, y, y, x).unwrap();
            g.output("gradient", gradient);
            let is_mask = |v: &ValueId| matches!(g.node(*v).op, Op::Compare(_));
            if let Some(mask) = g.values().rev().find(is_mask).filter(|_| mask_is_read) {
                let also = g.select(mask, y, y).unwrap();
                g.output("also", also);
            }
            check(&format!("clip to {bounds:?}, {mask_is_read}"), &g);
        }
    }
}

#[test]
fn pools() {
    for axes in 1..=3 {
        let fits = |w: &Window| {
            let reach = |a: usize| w.dilations[a] * (w.kernel[a] - 1) + 1;
            (0..axes).all(|a| w.pads_begin[a] < reach(a) && w.pads_end[a] < reach(a))
        };
        for window in windows(axes).into_iter().filter(fits) {
            let what = format!("{axes}-D {window:?}");
            let x = [&[2], &[7; 3][..axes]].concat();
            let y: Vec<usize> = std::iter::once(2)
                .chain((0..axes).map(|a| window.output_extent(a, 7).unwrap()))
                .collect();
            check(&what, &single(Op::MaxPool(window.clone()), &[&x], &[]));
            check(
                &what,
                &single(Op::MaxPoolGrad(window.clone()), &[&x, &y], &[]),
            );
            for count_padding in [false, true] {
                let pool = AvgPool {
                    window: window.clone(),
                    count_padding,
                };
                check(&what, &single(Op::AvgPool(pool), &[&x], &[]));
            }
        }
    }
}

/// Lines longer than a vector, of odd and even lengths.
#[test]
fn pools_of_images() {
    for extent in [[16, 16], [23, 37], [7, 7]] {
        for (kernel, stride, pad) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2), (7, 7, 0)] {
            let window = Window::new(&[kernel; 2]).stride(stride).pad(pad);
            let what = format!("{extent:?} {window:?}");
            let x: &[usize] = &[5, extent[0], extent[1]];
            let y = [0, 1].map(|a| window.output_extent(a, extent[a]).unwrap());
            let grad = Op::MaxPoolGrad(window.clone());
            check(&what, &single(grad, &[x, &[5, y[0], y[1]]], &[]));
            check(&what, &single(Op::MaxPool(window.clone()), &[x], &[]));
            let mean = Op::AvgPool(AvgPool {
                window,
                count_padding: false,
            });
            check(&what, &single(mean, &[x], &[]));
        }
    }
}

#[test]
fn broadcasting() {
    let shapes: [&[usize]; 7] = [
        &[],
        &[1],
        &[5],
        &[3, 1, 1],
        &[1, 3, 4, 5],
        &[4, 1],
        &[1, 3, 1, 5],
    ];
    for shape in shapes {
        use Binary::*;
        for binary in [Add, Sub, Mul, Div, Pow, Max, Min] {
            check(
                &format!("{binary:?} {shape:?}"),
                &single(Op::Binary(binary), &[&[3, 4, 5]], &[shape]),
            );
        }
        for compare in [Compare::Greater, Compare::GreaterOrEqual] {
            let mut g = single(Op::Compare(compare), &[&[3, 4, 5]], &[shape]);
            check(&format!("{compare:?} {shape:?}"), &g);
            let (x, mask) = (g.inputs().next().unwrap().0, g.outputs()[0].value);
            let other = constant(&mut g, shape);
            let left = g.select(mask, x, other).unwrap();
            let right = g.select(mask, other, x).unwrap();
            g.output("left", left);
            g.output("right", right);
            check(&format!("where {shape:?}"), &g);
        }
    }
    check(
        "equal shapes",
        &single(Op::Binary(Binary::Sub), &[&[3, 4], &[3, 4]], &[]),
    );
    check(
        "two ways",
        &single(Op::Binary(Binary::Mul), &[&[3, 1], &[1, 4]], &[]),
    );
}

/// Elementwise operators that are fused, with values that several blocks need, and the gradient, at
/// sizes that cross the edges of blocks.
#[test]
fn elementwise_blocks() {
    for shape in [&[1][..], &[5], &[17, 31], &[3, 7, 50], &[4, 300, 2]] {
        for stages in 0..32_u32 {
            check(&format!("{shape:?} {stages:05b}"), &blocks(shape, stages));
        }
    }
}

/// A chain of activations with operands of all kinds of shapes, and its gradient.
fn blocks(shape: &[usize], stages: u32) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(shape))).unwrap();
    let row = constant(&mut g, &shape[shape.len() - 1..]);
    let mut column = shape.to_vec();
    column[shape.len() - 1] = 1;
    let column = constant(&mut g, &column);
    let (two, one) = (g.scalar(2.0).unwrap(), g.scalar(1.0).unwrap());
    let mut y = g.mul(x, row).unwrap();
    if stages & 1 != 0 {
        // x / 2 · (1 + erf(x / sqrt(2))), as exporters write it.
        let root = g.scalar(std::f32::consts::SQRT_2).unwrap();
        let scaled = g.add(Op::Binary(Binary::Div), &[y, root]).unwrap();
        let erf = g.add(Op::Unary(Unary::Erf), &[scaled]).unwrap();
        let above = g.add_values(erf, one).unwrap();
        y = g.mul(y, above).unwrap();
        y = g.add(Op::Binary(Binary::Div), &[y, two]).unwrap();
    }
    if stages & 2 != 0 {
        let s = g.add(Op::Unary(Unary::Sigmoid), &[y]).unwrap();
        y = g.mul(y, s).unwrap();
        y = g.add_values(y, column).unwrap();
    }
    if stages & 4 != 0 {
        let (min, max) = (-0.25, 0.5);
        y = g.add(Op::Unary(Unary::Clip { min, max }), &[y]).unwrap();
        y = g.add_values(y, x).unwrap();
    }
    if stages & 8 != 0 {
        let mean = Op::Reduce(Reduce {
            kind: ReduceKind::Mean,
            axes: vec![shape.len()],
            keep_dims: true,
        });
        let mean = g.add(mean, &[y]).unwrap();
        y = g.add(Op::Binary(Binary::Sub), &[y, mean]).unwrap();
        let square = g.add(Op::Binary(Binary::Pow), &[y, two]).unwrap();
        let shifted = g.add_values(square, one).unwrap();
        let root = g.add(Op::Unary(Unary::Sqrt), &[shifted]).unwrap();
        y = g.add(Op::Binary(Binary::Div), &[y, root]).unwrap();
    }
    let greater = Op::Compare(Compare::Greater);
    if stages & 16 != 0 {
        let mask = g.add(greater.clone(), &[y, row]).unwrap();
        let other = g.add(Op::Unary(Unary::Tanh), &[x]).unwrap();
        y = g.select(mask, y, other).unwrap();
        g.output("mask", mask);
    }
    let gradient = vjp(&mut g, y, y, x).unwrap();
    g.output("y", y);
    g.output("gradient", gradient);
    g
}

/// What tests of other operators never meet: infinities, and what is not a number.
#[test]
fn special_numbers() {
    let numbers = |g: &mut Graph| {
        let data = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0];
        g.constant(Tensor::new(vec![5], data).unwrap()).unwrap()
    };
    use Binary::*;
    for binary in [Add, Sub, Mul, Div, Max, Min] {
        for swapped in [false, true] {
            let mut g = Graph::new();
            let x = g.input("x", Type::float(Shape::batched(&[7, 5]))).unwrap();
            let special = numbers(&mut g);
            let operands = if swapped { [special, x] } else { [x, special] };
            let y = g.add(Op::Binary(binary), &operands).unwrap();
            g.output("y", y);
            let clip = Unary::Clip {
                min: -1.0,
                max: 1.0,
            };
            for unary in [clip, Unary::Erf, Unary::Exp, Unary::Log, Unary::Sigmoid] {
                let y = g.add(Op::Unary(unary), &[y]).unwrap();
                g.output(unary_name(unary), y);
            }
            for unary in [Unary::Softplus, Unary::Sqrt, Unary::Tanh] {
                let y = g.add(Op::Unary(unary), &[y]).unwrap();
                g.output(unary_name(unary), y);
            }
            check(&format!("{binary:?} {swapped}"), &g);
        }
    }
}

fn unary_name(unary: Unary) -> &'static str {
    Op::Unary(unary).name()
}

#[test]
fn moves() {
    let cut = |axis, start, end, step| SliceAxis {
        axis,
        start,
        end,
        step,
    };
    let border = |axis, before, after| PadAxis {
        axis,
        before,
        after,
    };
    let cases = [
        Op::Relu,
        Op::Unary(Unary::Clip {
            min: -0.5,
            max: 0.25,
        }),
        Op::Unary(Unary::Cos),
        Op::Unary(Unary::Erf),
        Op::Unary(Unary::Exp),
        Op::Unary(Unary::Log),
        Op::Unary(Unary::Sigmoid),
        Op::Unary(Unary::Sin),
        Op::Unary(Unary::Softplus),
        Op::Unary(Unary::Sqrt),
        Op::Unary(Unary::Tanh),
        Op::Slice(Slice {
            axes: vec![cut(1, 1, 3, 1)],
        }),
        Op::Slice(Slice {
            axes: vec![cut(3, 1, 5, 3), cut(1, 0, 3, 2)],
        }),
        Op::Pad(Pad {
            axes: vec![border(1, 0, 2)],
            value: 0.0,
        }),
        Op::Pad(Pad {
            axes: vec![border(3, 2, 1), border(2, 1, 0)],
            value: 3.0,
        }),
        Op::Transpose(vec![0, 3, 1, 2]),
        Op::Transpose(vec![2, 1, 0, 3]),
        Op::Transpose(vec![3, 2, 1, 0]),
        Op::Reshape(Shape::batched(&[60])),
        Op::Softmax(Axis(1)),
        Op::Softmax(Axis(3)),
        Op::LogSoftmax(Axis(2)),
        Op::ArgMax(Axis(1)),
        Op::ArgMax(Axis(3)),
        Op::TopK(TopK { axis: 1, k: 2 }),
        Op::TopK(TopK { axis: 2, k: 4 }),
        Op::TopK(TopK { axis: 3, k: 3 }),
    ];
    for op in cases {
        check(&format!("{op:?}"), &single(op, &[&[3, 4, 5]], &[]));
    }
    for op in [
        Op::Transpose(vec![0, 3, 2, 1]),
        Op::Transpose(vec![0, 2, 3, 1]),
        Op::Transpose(vec![0, 1, 3, 2]),
        Op::Softmax(Axis(2)),
        Op::Softmax(Axis(3)),
        Op::LogSoftmax(Axis(3)),
        Op::TopK(TopK { axis: 3, k: 130 }),
        Op::Slice(Slice {
            axes: vec![cut(2, 3, 40, 4), cut(3, 0, 131, 2)],
        }),
        Op::Pad(Pad {
            axes: vec![border(2, 5, 0), border(3, 1, 7)],
            value: -1.0,
        }),
    ] {
        check(&format!("large {op:?}"), &single(op, &[&[3, 41, 131]], &[]));
    }
    for (times, rest) in [(2, 1), (4, 3), (5, 33)] {
        let expand = Op::Expand(Shape::batched(&[6, rest, times, 17, times]));
        let what = format!("repeat {times} times");
        check(&what, &single(expand, &[&[6, rest, 1, 17, 1]], &[]));
    }
    check(
        "expand",
        &single(Op::Expand(Shape::batched(&[3, 4, 5])), &[&[3, 1, 5]], &[]),
    );
    for axis in 1..3 {
        let parts: [&[usize]; 2] = if axis == 1 {
            [&[3, 4], &[2, 4]]
        } else {
            [&[3, 4], &[3, 1]]
        };
        check("concat", &single(Op::Concat(Concat { axis }), &parts, &[]));
    }
    check("concat of a transposed part", &concat_of_transposed());
}

/// A product that an elementwise operator and a view read, and one whose sum with its own transpose is
/// taken.
#[test]
fn products_that_views_read() {
    for moves in [0, 1, 2] {
        let mut g = Graph::new();
        let x = g.input("x", Type::float(Shape::batched(&[4, 5]))).unwrap();
        let w = constant(&mut g, &[5, 4]);
        let m = g.add(Op::MatMul, &[x, w]).unwrap();
        let transposed = g.add(Op::Transpose(vec![0, 2, 1]), &[m]).unwrap();
        match moves {
            0 => {
                let r = g.relu(m).unwrap();
                g.output("relu", r);
                g.output("transposed", transposed);
            }
            1 => {
                let sum = g.add_values(m, transposed).unwrap();
                g.output("sum", sum);
            }
            _ => {
                let flat = g.add(Op::Reshape(Shape::batched(&[16])), &[m]).unwrap();
                let soft = g.add(Op::Softmax(Axis(1)), &[flat]).unwrap();
                let r = g.relu(m).unwrap();
                g.output("softmax", soft);
                g.output("relu", r);
            }
        }
        check(&format!("products that views read, {moves}"), &g);
    }
}

/// A bias that is computed, of which a convolution reads a view.
#[test]
fn a_bias_that_is_computed() {
    let mut g = Graph::new();
    let b = g.input("b", Type::float(Shape::fixed(&[1]))).unwrap();
    let r = g.add(Op::Unary(Unary::Exp), &[b]).unwrap();
    let bias = g.add(Op::Expand(Shape::fixed(&[16])), &[r]).unwrap();
    let x = g
        .input("x", Type::float(Shape::batched(&[16, 8, 8])))
        .unwrap();
    let x1 = g.add(Op::Unary(Unary::Softplus), &[x]).unwrap();
    let w = constant(&mut g, &[16, 16, 3, 3]);
    let window = Window::new(&[3, 3]).pad(1);
    let y = g.conv(x1, w, Some(bias), window, 1).unwrap();
    g.output("y", y);
    check("a bias that is computed", &scaled(&g, 0.1));
}

/// A step of a slice that no 32 bits hold.
#[test]
fn a_slice_of_one_element_of_many() {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[8]))).unwrap();
    let axes = vec![SliceAxis {
        axis: 1,
        start: 0,
        end: 8,
        step: 10_000_000_000,
    }];
    let one = g.add(Op::Slice(Slice { axes }), &[x]).unwrap();
    let y = g.add(Op::Softmax(Axis(1)), &[one]).unwrap();
    g.output("y", y);
    check("a slice of one element of many", &g);
}

/// Tokens that are channels of an image, behind one that is known: as vision transformers have them.
fn concat_of_transposed() -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[5, 7]))).unwrap();
    let doubled = g.add_values(x, x).unwrap();
    let tokens = g.add(Op::Transpose(vec![0, 2, 1]), &[doubled]).unwrap();
    let known = constant(&mut g, &[1, 1, 5]);
    let first = Op::Expand(Shape::batched(&[1, 5]));
    let first = g.add(first, &[known]).unwrap();
    let y = g.concat(&[first, tokens], 1).unwrap();
    g.output("y", y);
    g
}

#[test]
fn reductions() {
    for kind in [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max] {
        for axes in [
            vec![1],
            vec![2],
            vec![3],
            vec![2, 3],
            vec![1, 3],
            vec![1, 2, 3],
            vec![],
        ] {
            for keep_dims in [false, true] {
                let reduce = Op::Reduce(Reduce {
                    kind,
                    axes: axes.clone(),
                    keep_dims,
                });
                check(&format!("{reduce:?}"), &single(reduce, &[&[3, 4, 5]], &[]));
            }
        }
    }
    for kind in [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max] {
        for axes in [
            vec![1],
            vec![2],
            vec![3],
            vec![2, 3],
            vec![1, 3],
            vec![1, 2],
        ] {
            let reduce = Op::Reduce(Reduce {
                kind,
                axes,
                keep_dims: true,
            });
            let what = format!("large {reduce:?}");
            let g = single(reduce, &[&[5, 70, 150]], &[]);
            check(&what, &scaled(&g, 0.05));
        }
    }
    let mut g = single(Op::ArgMax(Axis(1)), &[&[4]], &[]);
    let hot = g.add(Op::OneHot(4), &[g.outputs()[0].value]).unwrap();
    g.output("hot", hot);
    check("one hot", &g);
}

/// A known matrix times one that depends on the image.
fn left_product(k: usize) -> Graph {
    let mut g = Graph::new();
    let shape = Shape::batched(&[k, 40]);
    let x = g.input("x", Type::float(shape)).unwrap();
    let a = constant(&mut g, &[21, k]);
    let y = g.add(Op::MatMul, &[a, x]).unwrap();
    g.output("y", y);
    g
}

#[test]
fn products() {
    check("matrices", &single(Op::MatMul, &[&[3, 4]], &[&[4, 5]]));
    check("of a batch", &single(Op::MatMul, &[&[3, 4], &[4, 2]], &[]));
    check(
        "broadcast",
        &single(Op::MatMul, &[&[2, 3, 4]], &[&[1, 2, 4, 5]]),
    );
    check("rows", &single(Op::MatMul, &[&[4]], &[&[4, 5]]));
    check(
        "long sums",
        &single(Op::MatMul, &[&[13, 1100]], &[&[1100, 7]]),
    );
    check("panels", &single(Op::MatMul, &[&[25, 17]], &[&[17, 203]]));
    check("from the left", &left_product(9));
    check("long sums from the left", &left_product(300));
    for k in [11, 300] {
        let heads: [&[usize]; 2] = [&[3, 29, k], &[3, k, 101]];
        check(&format!("many of {k}"), &single(Op::MatMul, &heads, &[]));
    }
    check("few", &single(Op::MatMul, &[&[5, 1, 8]], &[&[8, 31]]));
    for (c, trans_b) in [(&[5][..], false), (&[1, 5], true), (&[], true)] {
        let b: &[usize] = if trans_b { &[5, 4] } else { &[4, 5] };
        let gemm = Gemm {
            alpha: 0.5,
            beta: 2.0,
            trans_a: false,
            trans_b,
        };
        check(
            &format!("{gemm:?} {c:?}"),
            &single(Op::Gemm(gemm), &[&[4]], &[b, c]),
        );
    }
    let norm = Op::BatchNorm(BatchNorm { epsilon: 2.0 });
    check(
        "norm",
        &single(norm, &[&[3, 4, 5]], &[&[3], &[3], &[3], &[3]]),
    );
}
