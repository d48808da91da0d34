//! The pass that lowers max-pool gradients to portable operators.

use super::rebuild::rebuild;
use crate::op::*;
use crate::vjp::conv_rule;
use crate::{Error, Graph, Op, Shape, Tensor, ValueId};

/// Expresses every [`Op::MaxPoolGrad`] by operators that other runtimes have.
///
/// For each tap of the window in turn, the positions whose maximum it reads assign their cotangent
/// to it, unless an earlier tap has taken it. The adjoint of the convolution that would select the
/// taps then scatters the cotangents.
///
/// # Errors
/// If the graph is not well formed.
pub fn expand_max_pool_grad(graph: &Graph) -> Result<Graph, Error> {
    rebuild(graph, |new, _, node| match node.op {
        Op::MaxPoolGrad(window) => {
            expand(new, &window, node.operands[0], node.operands[1]).map(Some)
        }
        op => new.add(op, &node.operands).map(Some),
    })
}

/// What the nodes of one tap take.
const TAP_BYTES: usize = 4096;

fn expand(g: &mut Graph, window: &Window, x: ValueId, dy: ValueId) -> Result<ValueId, Error> {
    // The taps, in the graph and as picks for each channel.
    let taps = window
        .kernel
        .iter()
        .fold(1, |n: usize, &k| n.saturating_mul(k));
    let channels = g.shape(x).dims()[1].at(1);
    g.budget_mut().spend::<[u8; TAP_BYTES]>(taps)?;
    g.budget_mut()
        .spend::<f32>(channels.saturating_mul(taps).saturating_mul(taps))?;

    let y = pooled(g, window, x)?;
    let padded = pad_with_smallest(g, window, x)?;
    let zero = g.scalar(0.0)?;
    let mut untaken = dy;
    let mut taken = Vec::new();
    for entry in entries(&window.kernel) {
        let seen = g.slice(padded, positions_of(g, window, &entry, y))?;
        let is_largest = g.compare(Compare::GreaterOrEqual, seen, y)?;
        let share = g.select(is_largest, untaken, zero)?;
        untaken = g.select(is_largest, zero, untaken)?;
        taken.push(with_axis(g, share, 2)?);
    }
    put_in_place(g, window, x, &taken)
}

/// The output of the pool whose gradient is computed.
fn pooled(g: &mut Graph, window: &Window, x: ValueId) -> Result<ValueId, Error> {
    let is_it = |v: &ValueId| {
        let node = g.node(*v);
        node.operands == [x] && matches!(&node.op, Op::MaxPool(own) if own == window)
    };
    match g.values().find(is_it) {
        Some(y) => Ok(y),
        None => g.max_pool(x, window.clone()),
    }
}

fn pad_with_smallest(g: &mut Graph, window: &Window, x: ValueId) -> Result<ValueId, Error> {
    let borders = (0..window.axes()).map(|axis| PadAxis {
        axis: axis + 2,
        before: window.pads_begin[axis],
        after: window.pads_end[axis],
    });
    let borders: Vec<PadAxis> = borders.filter(|b| b.before + b.after > 0).collect();
    match borders.is_empty() {
        true => Ok(x),
        false => g.pad(x, borders, f32::MIN),
    }
}

/// All taps of a kernel, in row-major order.
fn entries(kernel: &[usize]) -> Vec<Vec<usize>> {
    kernel.iter().fold(vec![Vec::new()], |outer, &extent| {
        let longer = |entry: &Vec<usize>| {
            let entry = entry.clone();
            (0..extent).map(move |i| [&entry[..], &[i]].concat())
        };
        outer.iter().flat_map(longer).collect()
    })
}

/// The slice of the padded input that a tap of the window reads, position by position.
fn positions_of(g: &Graph, window: &Window, entry: &[usize], y: ValueId) -> Vec<SliceAxis> {
    let cut = |axis: usize| {
        let start = entry[axis] * window.dilations[axis];
        let last = g.shape(y).dims()[axis + 2].at(1) - 1;
        SliceAxis {
            axis: axis + 2,
            start,
            end: start + last * window.strides[axis] + 1,
            step: window.strides[axis],
        }
    };
    (0..window.axes()).map(cut).collect()
}

fn with_axis(g: &mut Graph, x: ValueId, axis: usize) -> Result<ValueId, Error> {
    let mut dims = g.shape(x).dims().to_vec();
    dims.insert(axis, 1.into());
    g.reshape(x, Shape::new(dims))
}

/// Scatters `taken`, one `[N, C, 1, positions...]` per tap, to the elements that the taps read, and
/// adds it up.
fn put_in_place(
    g: &mut Graph,
    window: &Window,
    x: ValueId,
    taken: &[ValueId],
) -> Result<ValueId, Error> {
    let (channels, count) = (g.shape(x).dims()[1].at(1), taken.len());
    let side_by_side = g.concat(taken, 2)?;
    let mut dims = g.shape(side_by_side).dims().to_vec();
    dims.remove(2);
    dims[1] = (channels * count).into();
    let side_by_side = g.reshape(side_by_side, Shape::new(dims))?;

    let mut picks = vec![0.0; channels * count * count];
    for channel in picks.chunks_exact_mut(count * count) {
        channel.iter_mut().step_by(count + 1).for_each(|p| *p = 1.0);
    }
    let shape = [&[channels * count, 1], &window.kernel[..]].concat();
    let picks = g.constant(Tensor::new(shape, picks)?)?;
    let depthwise = Conv {
        window: window.clone(),
        groups: channels,
    };
    conv_rule(g, &depthwise, &[x, picks], side_by_side)
}
