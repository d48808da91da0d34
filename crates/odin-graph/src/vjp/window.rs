//! Rules of sliding-window operators.

use super::{Rule, zeros_like};
use crate::op::*;
use crate::{Dim, Graph, Op, Shape, Tensor, ValueId};

/// The adjoint of a convolution, with the padding and output padding that restore the extents of
/// `x[0]`.
pub(crate) fn conv_rule(g: &mut Graph, conv: &Conv, x: &[ValueId], dy: ValueId) -> Rule {
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
    // Entries at the end that no window position reads become output padding; padding at the end
    // that no position reads is left out.
    for axis in 0..window.axes() {
        let reach = window.reach(axis).unwrap_or(usize::MAX);
        let end = (outputs[axis] - 1)
            .saturating_mul(window.strides[axis])
            .saturating_add(reach);
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

/// The convolution whose adjoint this is. Output padding beyond the removed padding is read by no
/// window position, and is sliced off.
pub(super) fn conv_transpose_rule(
    g: &mut Graph,
    conv: &ConvTranspose,
    x: &[ValueId],
    dy: ValueId,
) -> Rule {
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

/// The gradient of a mean over windows that tile the image is broadcast to the tiles. Any other is
/// the adjoint of a depthwise convolution with equal weights, divided by the number of elements
/// under the window, which may differ at the border.
pub(super) fn avg_pool_rule(g: &mut Graph, pool: &AvgPool, x: ValueId, dy: ValueId) -> Rule {
    let window = &pool.window;
    if tiles(window) {
        return repeat_tiles(g, window, x, dy);
    }
    let channels = g.shape(x).dims()[1].at(1);
    let share = divide_by_counts(g, pool, x, dy)?;
    let ones_shape = [&[channels, 1], &window.kernel[..]].concat();
    let count = ones_shape
        .iter()
        .fold(1, |n: usize, &k| n.saturating_mul(k));
    g.budget_mut().spend::<f32>(count)?;
    let ones = g.constant(Tensor::new(ones_shape, vec![1.0; count])?)?;
    let depthwise = Conv {
        window: window.clone(),
        groups: channels,
    };
    conv_rule(g, &depthwise, &[x, ones], share)
}

/// Whether window positions neither overlap, nor leave gaps, nor read padding.
fn tiles(window: &Window) -> bool {
    let unpadded = |pads: &[usize]| pads.iter().all(|&p| p == 0);
    window.strides == window.kernel
        && window.dilations.iter().all(|&d| d == 1)
        && unpadded(&window.pads_begin)
        && unpadded(&window.pads_end)
}

/// Broadcasts the cotangent of each window to its elements; elements behind the last window receive
/// 0.
fn repeat_tiles(g: &mut Graph, window: &Window, x: ValueId, dy: ValueId) -> Rule {
    let count = g.scalar(window.kernel.iter().product::<usize>() as f32)?;
    let share = g.div(dy, count)?;
    let (dims, extents) = (g.shape(dy).dims().to_vec(), g.shape(x).dims().to_vec());
    let [mut apart, mut repeated, mut joined] = [(); 3].map(|()| dims[..2].to_vec());
    let mut rest = Vec::new();
    for (axis, &kernel) in window.kernel.iter().enumerate() {
        let positions = dims[axis + 2];
        let covered = positions.at(1) * kernel;
        apart.extend([positions, Dim::Fixed(1)]);
        repeated.extend([positions, Dim::Fixed(kernel)]);
        joined.push(Dim::Fixed(covered));
        rest.push(PadAxis {
            axis: axis + 2,
            before: 0,
            after: extents[axis + 2].at(1) - covered,
        });
    }
    let apart = g.reshape(share, Shape::new(apart))?;
    let repeated = g.expand(apart, Shape::new(repeated))?;
    let joined = g.reshape(repeated, Shape::new(joined))?;
    rest.retain(|border| border.after > 0);
    match rest.is_empty() {
        true => Ok(joined),
        false => g.pad(joined, rest, 0.0),
    }
}

/// `dy` divided by the number of elements under each window, axis by axis: windows are boxes.
fn divide_by_counts(g: &mut Graph, pool: &AvgPool, x: ValueId, dy: ValueId) -> Rule {
    let window = &pool.window;
    let mut share = dy;
    for axis in 0..window.axes() {
        let extent = g.shape(x).dims()[axis + 2].at(1);
        let positions = g.shape(dy).dims()[axis + 2].at(1);
        g.budget_mut().spend::<f32>(positions)?;
        let counts: Vec<f32> = (0..positions)
            .map(|p| window_entries(pool, axis, p, extent) as f32)
            .collect();
        let counts = match counts.iter().all(|&count| count == counts[0]) {
            true => g.scalar(counts[0])?,
            false => {
                let mut shape = vec![1; window.axes() + 2];
                shape[axis + 2] = positions;
                g.constant(Tensor::new(shape, counts)?)?
            }
        };
        share = g.div(share, counts)?;
    }
    Ok(share)
}

/// The number of elements of an axis under the window at a position.
fn window_entries(pool: &AvgPool, axis: usize, position: usize, extent: usize) -> usize {
    let w = &pool.window;
    match pool.count_padding {
        true => w.kernel[axis],
        false => w.taps_inside(axis, position, extent).len(),
    }
}
