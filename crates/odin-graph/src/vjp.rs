//! Reverse-mode differentiation as a table of rules, one per operator. A rule is given the
//! cotangent of a node's output and writes the cotangent of one operand, in graph.

use crate::op::*;
use crate::{Dim, Error, ErrorKind, Graph, Op, Shape, Tensor, ValueId};

/// The vector-Jacobian product `cotangentᵀ · ∂output/∂wrt`, written into the graph; its type is
/// that of `wrt`. Only nodes on a path from `wrt` to `output` are visited, so that no gradient
/// of a weight is ever built.
///
/// At a point where an operator has no derivative the choice is PyTorch's: the derivative of
/// `max(x, 0)` at 0 is 0; of equal maxima under a window the first takes all.
///
/// # Errors
/// When the cotangent's type is not that of `output`, or an operator on the path has no rule;
/// the message names the node.
pub fn vjp(
    graph: &mut Graph,
    output: ValueId,
    cotangent: ValueId,
    wrt: ValueId,
) -> Result<ValueId, Error> {
    if graph.ty(cotangent) != graph.ty(output) {
        let (found, expected) = (graph.ty(cotangent), graph.ty(output));
        return Err(Error::new(
            ErrorKind::InvalidGraph,
            format!("the cotangent must be {expected} like the output, it is {found}"),
        ));
    }
    let depends = graph.depends_on(wrt);
    let needed = graph.needed_for([output]);
    let mut cotangents: Vec<Option<ValueId>> = vec![None; graph.nodes().len()];
    cotangents[output.index()] = Some(cotangent);

    for index in (wrt.index() + 1..=output.index()).rev() {
        let value = ValueId::from_index(index);
        let (true, true, Some(dy)) = (depends[index], needed[index], cotangents[index]) else {
            continue;
        };
        let node = graph.node(value).clone();
        graph.at(format!(
            "gradient of {}",
            origin_or_op(&node.origin, &node.op)
        ));
        for (position, &operand) in node.operands.iter().enumerate() {
            if !depends[operand.index()] {
                continue;
            }
            let site = Site {
                value,
                position,
                dy,
            };
            if let Some(contribution) = site.rule(graph, &node.op, &node.operands)? {
                let sum = match cotangents[operand.index()] {
                    Some(earlier) => graph.add_values(earlier, contribution)?,
                    None => contribution,
                };
                cotangents[operand.index()] = Some(sum);
            }
        }
    }
    match cotangents[wrt.index()] {
        Some(gradient) => Ok(gradient),
        None => zeros_like(graph, wrt),
    }
}

fn zeros_like(g: &mut Graph, x: ValueId) -> Result<ValueId, Error> {
    let zero = g.scalar(0.0)?;
    g.expand(zero, g.shape(x).clone())
}

fn origin_or_op<'a>(origin: &'a str, op: &Op) -> &'a str {
    if origin.is_empty() { op.name() } else { origin }
}

/// One operand of one node, and the cotangent of the node's output.
struct Site {
    value: ValueId,
    position: usize,
    dy: ValueId,
}

type Rule = Result<ValueId, Error>;

impl Site {
    /// The cotangent of the operand; `None` where the output is piecewise constant in it.
    fn rule(&self, g: &mut Graph, op: &Op, x: &[ValueId]) -> Result<Option<ValueId>, Error> {
        let dy = self.dy;
        let first = self.position == 0;
        let cotangent = match op {
            Op::Conv(conv) if first => conv_rule(g, conv, x, dy),
            Op::ConvTranspose(conv) if first => conv_transpose_rule(g, conv, x, dy),
            Op::BatchNorm(norm) if first => batch_norm_rule(g, norm, x, dy),
            Op::Relu => relu_rule(g, self.value, dy),
            Op::MaxPool(window) => g.add(Op::MaxPoolGrad(window.clone()), &[x[0], dy]),
            Op::AvgPool(pool) => avg_pool_rule(g, pool, x[0], dy),
            Op::Binary(binary) => binary_rule(g, *binary, x, first, dy),
            Op::Where => where_rule(g, x, self.position, dy),
            Op::Concat(concat) => concat_rule(g, *concat, x, self.position, dy),
            Op::Slice(slice) => slice_rule(g, slice, x[0], dy),
            Op::Pad(pad) => pad_rule(g, pad, x[0], dy),
            Op::Reshape(_) => g.reshape(dy, g.shape(x[0]).clone()),
            Op::Expand(_) => sum_to_shape(g, dy, g.shape(x[0]).clone()),
            Op::Transpose(perm) => g.add(Op::Transpose(inverse(perm)), &[dy]),
            Op::MatMul => mat_mul_rule(g, x, first, dy),
            Op::Gemm(gemm) => gemm_rule(g, gemm, x, self.position, dy),
            Op::Reduce(reduce) if reduce.kind != ReduceKind::Max => {
                reduce_rule(g, reduce, x[0], dy)
            }
            Op::Softmax(Axis(axis)) => softmax_rule(g, self.value, *axis, dy),
            Op::LogSoftmax(Axis(axis)) => log_softmax_rule(g, x[0], *axis, dy),
            Op::Compare(_) | Op::ArgMax(_) | Op::OneHot(_) => return Ok(None),
            Op::Input(_) | Op::Constant(_) => return Ok(None),
            Op::Conv(_)
            | Op::ConvTranspose(_)
            | Op::BatchNorm(_)
            | Op::MaxPoolGrad(_)
            | Op::Reduce(_) => Err(self.no_gradient(g)),
        }?;
        Ok(Some(cotangent))
    }

    fn no_gradient(&self, g: &Graph) -> Error {
        let (place, position) = (g.describe(self.value), self.position);
        Error::new(
            ErrorKind::NoGradient,
            format!("{place}: there is no gradient rule with respect to operand {position}"),
        )
    }
}

fn conv_rule(g: &mut Graph, conv: &Conv, x: &[ValueId], dy: ValueId) -> Rule {
    let Conv { window, groups } = conv;
    let extents = |g: &Graph, v: ValueId| -> Vec<usize> {
        g.shape(v).dims()[2..].iter().map(|d| d.at(1)).collect()
    };
    let (inputs, outputs) = (extents(g, x[0]), extents(g, dy));
    let mut transpose = ConvTranspose {
        window: window.clone(),
        output_padding: vec![0; window.axes()],
        groups: *groups,
    };
    // Entries that the stride never reaches lie at the end; or the padding there was never
    // read, and there is less of it to take away.
    for axis in 0..window.axes() {
        let end = (outputs[axis] - 1) * window.strides[axis]
            + window.dilations[axis] * (window.kernel[axis] - 1)
            + 1;
        let Some(full) = end
            .checked_sub(window.pads_begin[axis])
            .filter(|&full| full > 0)
        else {
            return zeros_like(g, x[0]); // every window position lies in the padding
        };
        transpose.window.pads_end[axis] = full.saturating_sub(inputs[axis]);
        transpose.output_padding[axis] = inputs[axis].saturating_sub(full);
    }
    g.add(Op::ConvTranspose(transpose), &[dy, x[1]])
}

/// The convolution that this is the adjoint of. What output padding added beyond the padding
/// taken away was reached by no window position, and is cut off.
fn conv_transpose_rule(g: &mut Graph, conv: &ConvTranspose, x: &[ValueId], dy: ValueId) -> Rule {
    let mut window = conv.window.clone();
    let mut undetermined = Vec::new();
    for axis in 0..window.axes() {
        let (added, taken) = (conv.output_padding[axis], conv.window.pads_end[axis]);
        window.pads_end[axis] = taken.saturating_sub(added);
        if added > taken {
            let extent = g.shape(dy).dims()[axis + 2].at(1);
            undetermined.push(SliceAxis {
                axis: axis + 2,
                start: 0,
                end: extent - (added - taken),
                step: 1,
            });
        }
    }
    let dy = match undetermined.is_empty() {
        true => dy,
        false => g.slice(dy, undetermined)?,
    };
    g.conv(dy, x[1], None, window, conv.groups)
}

/// `dy · scale / sqrt(var + ε)`: the same operator without mean and shift.
fn batch_norm_rule(g: &mut Graph, norm: &BatchNorm, x: &[ValueId], dy: ValueId) -> Rule {
    let zeros = g.shape(x[1]).at(1);
    let count = zeros.iter().product();
    let zero = g.constant(Tensor::new(zeros, vec![0.0; count])?)?;
    g.batch_norm(dy, [x[1], zero, zero, x[4]], norm.epsilon)
}

/// The mask is taken from the output, which is positive where the input is.
fn relu_rule(g: &mut Graph, y: ValueId, dy: ValueId) -> Rule {
    let zero = g.scalar(0.0)?;
    let positive = g.compare(Compare::Greater, y, zero)?;
    g.select(positive, dy, zero)
}

/// A mean is a depthwise convolution with equal weights, divided by the number of entries under
/// the window, which at the border may differ.
fn avg_pool_rule(g: &mut Graph, pool: &AvgPool, x: ValueId, dy: ValueId) -> Rule {
    let window = &pool.window;
    let channels = g.shape(x).dims()[1].at(1);
    let counts = window_counts(g, pool, x)?;
    let share = g.div(dy, counts)?;
    let ones_shape = [&[channels, 1], &window.kernel[..]].concat();
    let count = ones_shape.iter().product();
    let ones = g.constant(Tensor::new(ones_shape, vec![1.0; count])?)?;
    let depthwise = Conv {
        window: window.clone(),
        groups: channels,
    };
    conv_rule(g, &depthwise, &[x, ones], share)
}

/// `[1, 1, spatial...]`: the divisor at each window position.
fn window_counts(g: &mut Graph, pool: &AvgPool, x: ValueId) -> Rule {
    let window = &pool.window;
    let mut shape = vec![1, 1];
    let mut counts = vec![1.0f32];
    for axis in 0..window.axes() {
        let extent = g.shape(x).dims()[axis + 2].at(1);
        let positions = window.output_extent(axis, extent).unwrap_or(0);
        let along: Vec<f32> = (0..positions)
            .map(|p| window_entries(pool, axis, p, extent) as f32)
            .collect();
        counts = counts
            .iter()
            .flat_map(|&outer| along.iter().map(move |&inner| outer * inner))
            .collect();
        shape.push(positions);
    }
    g.constant(Tensor::new(shape, counts)?)
}

/// How many entries of an axis count under the window at a position.
fn window_entries(pool: &AvgPool, axis: usize, position: usize, extent: usize) -> usize {
    let w = &pool.window;
    let first = position * w.strides[axis];
    let inside = (0..w.kernel[axis])
        .map(|k| first + k * w.dilations[axis])
        .filter(|&p| p >= w.pads_begin[axis] && p < w.pads_begin[axis] + extent);
    match pool.count_padding {
        true => w.kernel[axis],
        false => inside.count(),
    }
}

fn binary_rule(g: &mut Graph, binary: Binary, x: &[ValueId], first: bool, dy: ValueId) -> Rule {
    let (operand, full) = match (binary, first) {
        (Binary::Add, true) | (Binary::Sub, true) => (x[0], dy),
        (Binary::Add, false) => (x[1], dy),
        (Binary::Sub, false) => (x[1], negate(g, dy)?),
        (Binary::Mul, true) => (x[0], g.mul(dy, x[1])?),
        (Binary::Mul, false) => (x[1], g.mul(dy, x[0])?),
        (Binary::Div, true) => (x[0], g.div(dy, x[1])?),
        (Binary::Div, false) => {
            let quotient = g.div(x[0], x[1])?;
            let slope = g.div(quotient, x[1])?;
            let product = g.mul(dy, slope)?;
            (x[1], negate(g, product)?)
        }
    };
    sum_to_shape(g, full, g.shape(operand).clone())
}

fn negate(g: &mut Graph, x: ValueId) -> Rule {
    let minus_one = g.scalar(-1.0)?;
    g.mul(x, minus_one)
}

fn where_rule(g: &mut Graph, x: &[ValueId], position: usize, dy: ValueId) -> Rule {
    let zero = g.scalar(0.0)?;
    let taken = match position {
        1 => g.select(x[0], dy, zero)?,
        _ => g.select(x[0], zero, dy)?,
    };
    sum_to_shape(g, taken, g.shape(x[position]).clone())
}

fn concat_rule(g: &mut Graph, concat: Concat, x: &[ValueId], position: usize, dy: ValueId) -> Rule {
    let axis = concat.axis;
    let extent = |v: &ValueId| g.shape(*v).dims()[axis].at(1);
    let start = x[..position].iter().map(extent).sum();
    let part = SliceAxis {
        axis,
        start,
        end: start + extent(&x[position]),
        step: 1,
    };
    g.slice(dy, vec![part])
}

/// Puts each entry back where it came from, zeros elsewhere. Entries `step` apart are spread by
/// padding each to a group of `step` along an extra axis.
fn slice_rule(g: &mut Graph, slice: &Slice, x: ValueId, dy: ValueId) -> Rule {
    let mut dy = dy;
    for cut in slice.axes.iter().filter(|cut| cut.step > 1) {
        let dims = g.shape(dy).dims().to_vec();
        let mut grouped = dims.clone();
        grouped.insert(cut.axis + 1, Dim::Fixed(1));
        dy = g.reshape(dy, Shape::new(grouped))?;
        let group = PadAxis {
            axis: cut.axis + 1,
            before: 0,
            after: cut.step - 1,
        };
        dy = g.pad(dy, vec![group], 0.0)?;
        let mut spread = dims;
        spread[cut.axis] = Dim::Fixed(cut.extent() * cut.step);
        dy = g.reshape(dy, Shape::new(spread))?;
    }
    let spread = |cut: &SliceAxis| cut.start + cut.extent() * cut.step;
    let extent = |g: &Graph, cut: &SliceAxis| g.shape(x).dims()[cut.axis].at(1);
    // The last group may reach past the end.
    let overhang: Vec<SliceAxis> = slice
        .axes
        .iter()
        .filter(|cut| spread(cut) > extent(g, cut))
        .map(|cut| SliceAxis {
            axis: cut.axis,
            start: 0,
            end: extent(g, cut) - cut.start,
            step: 1,
        })
        .collect();
    if !overhang.is_empty() {
        dy = g.slice(dy, overhang)?;
    }
    let borders = slice.axes.iter().map(|cut| PadAxis {
        axis: cut.axis,
        before: cut.start,
        after: extent(g, cut).saturating_sub(spread(cut)),
    });
    let borders = borders.collect();
    g.pad(dy, borders, 0.0)
}

fn pad_rule(g: &mut Graph, pad: &Pad, x: ValueId, dy: ValueId) -> Rule {
    let inner = |border: &PadAxis| SliceAxis {
        axis: border.axis,
        start: border.before,
        end: border.before + g.shape(x).dims()[border.axis].at(1),
        step: 1,
    };
    let axes = pad.axes.iter().map(inner).collect();
    g.slice(dy, axes)
}

fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

fn swap_last_two(g: &mut Graph, x: ValueId) -> Rule {
    let rank = g.shape(x).rank();
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    g.add(Op::Transpose(perm), &[x])
}

fn mat_mul_rule(g: &mut Graph, x: &[ValueId], first: bool, dy: ValueId) -> Rule {
    let (operand, full) = if first {
        let transposed = swap_last_two(g, x[1])?;
        (x[0], g.mat_mul(dy, transposed)?)
    } else {
        let transposed = swap_last_two(g, x[0])?;
        (x[1], g.mat_mul(transposed, dy)?)
    };
    sum_to_shape(g, full, g.shape(operand).clone())
}

/// With `a' = op(a)`: `da' = α·dy·b'ᵀ`, `db' = α·a'ᵀ·dy`, each transposed back where the operand
/// is stored transposed.
fn gemm_rule(g: &mut Graph, gemm: &Gemm, x: &[ValueId], position: usize, dy: ValueId) -> Rule {
    let product = |trans_a, trans_b| {
        Op::Gemm(Gemm {
            alpha: gemm.alpha,
            beta: 0.0,
            trans_a,
            trans_b,
        })
    };
    match (position, gemm.trans_a, gemm.trans_b) {
        (0, false, trans_b) => g.add(product(false, !trans_b), &[dy, x[1]]),
        (0, true, trans_b) => g.add(product(trans_b, true), &[x[1], dy]),
        (1, trans_a, false) => g.add(product(!trans_a, false), &[x[0], dy]),
        (1, trans_a, true) => g.add(product(true, trans_a), &[dy, x[0]]),
        _ => {
            let beta = g.scalar(gemm.beta)?;
            let scaled = g.mul(dy, beta)?;
            sum_to_shape(g, scaled, g.shape(x[2]).clone())
        }
    }
}

fn reduce_rule(g: &mut Graph, reduce: &Reduce, x: ValueId, dy: ValueId) -> Rule {
    let shape = g.shape(x).clone();
    let mut kept = shape.dims().to_vec();
    for &axis in &reduce.axes {
        kept[axis] = Dim::Fixed(1);
    }
    let mut dy = g.reshape(dy, Shape::new(kept))?;
    if reduce.kind == ReduceKind::Mean {
        let extent = |&axis: &usize| shape.dims()[axis].at(1);
        let count: usize = reduce.axes.iter().map(extent).product();
        let count = g.scalar(count as f32)?;
        dy = g.div(dy, count)?;
    }
    g.expand(dy, shape)
}

/// `y · (dy - Σ dy·y)`.
fn softmax_rule(g: &mut Graph, y: ValueId, axis: usize, dy: ValueId) -> Rule {
    let product = g.mul(dy, y)?;
    let sum = g.reduce(product, ReduceKind::Sum, vec![axis], true)?;
    let centred = g.sub(dy, sum)?;
    g.mul(y, centred)
}

/// `dy - softmax(x) · Σ dy`.
fn log_softmax_rule(g: &mut Graph, x: ValueId, axis: usize, dy: ValueId) -> Rule {
    let softmax = g.softmax(x, axis)?;
    let sum = g.reduce(dy, ReduceKind::Sum, vec![axis], true)?;
    let product = g.mul(softmax, sum)?;
    g.sub(dy, product)
}

/// The adjoint of broadcasting: sums over what was repeated.
fn sum_to_shape(g: &mut Graph, x: ValueId, shape: Shape) -> Rule {
    let lead = g.shape(x).rank() - shape.rank();
    let repeated: Vec<usize> = (0..g.shape(x).rank())
        .filter(|&axis| axis < lead || g.shape(x).dims()[axis] != shape.dims()[axis - lead])
        .collect();
    if repeated.is_empty() {
        return Ok(x);
    }
    let sum = g.reduce(x, ReduceKind::Sum, repeated, true)?;
    match lead {
        0 => Ok(sum),
        _ => g.reshape(sum, shape),
    }
}
