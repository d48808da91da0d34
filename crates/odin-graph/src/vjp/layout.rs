//! Rules of operators that rearrange, broadcast or reduce elements.

use super::Rule;
use crate::op::*;
use crate::{Dim, Graph, Shape, ValueId};

pub(super) fn concat_rule(
    g: &mut Graph,
    concat: Concat,
    x: &[ValueId],
    position: usize,
    dy: ValueId,
) -> Rule {
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

/// Scatters the entries into zeros. Entries `step` apart are spread by padding each to a group of
/// `step` along an extra axis.
pub(super) fn slice_rule(g: &mut Graph, slice: &Slice, x: ValueId, dy: ValueId) -> Rule {
    let mut dy = dy;
    // What is alone needs no distance from others.
    let mut axes = slice.axes.clone();
    let alone = axes.iter_mut().filter(|cut| cut.extent() == 1);
    alone.for_each(|cut| (cut.end, cut.step) = (cut.start + 1, 1));
    for cut in axes.iter().filter(|cut| cut.step > 1) {
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
    let overhang: Vec<SliceAxis> = axes
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
    let borders = axes.iter().map(|cut| PadAxis {
        axis: cut.axis,
        before: cut.start,
        after: extent(g, cut).saturating_sub(spread(cut)),
    });
    let borders = borders.collect();
    g.pad(dy, borders, 0.0)
}

pub(super) fn pad_rule(g: &mut Graph, pad: &Pad, x: ValueId, dy: ValueId) -> Rule {
    let inner = |border: &PadAxis| SliceAxis {
        axis: border.axis,
        start: border.before,
        end: border.before + g.shape(x).dims()[border.axis].at(1),
        step: 1,
    };
    let axes = pad.axes.iter().map(inner).collect();
    g.slice(dy, axes)
}

pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

/// Broadcasts the cotangent of a reduction along the reduced axes.
pub(super) fn reduce_rule(
    g: &mut Graph,
    reduce: &Reduce,
    x: ValueId,
    y: ValueId,
    dy: ValueId,
) -> Rule {
    let shape = g.shape(x).clone();
    let mut kept = shape.dims().to_vec();
    for &axis in &reduce.axes {
        kept[axis] = Dim::Fixed(1);
    }
    let kept = Shape::new(kept);
    let dy = g.reshape(dy, kept.clone())?;
    match reduce.kind {
        ReduceKind::Sum => g.expand(dy, shape),
        ReduceKind::Mean => {
            let extent = |&axis: &usize| shape.dims()[axis].at(1);
            let count: usize = reduce.axes.iter().map(extent).product();
            let count = g.scalar(count as f32)?;
            let share = g.div(dy, count)?;
            g.expand(share, shape)
        }
        ReduceKind::Max => {
            let y = g.reshape(y, kept)?;
            let is_largest = g.compare(Compare::GreaterOrEqual, x, y)?;
            let (zero, one) = (g.scalar(0.0)?, g.scalar(1.0)?);
            let ones = g.select(is_largest, one, zero)?;
            let ties = g.reduce(ones, ReduceKind::Sum, reduce.axes.clone(), true)?;
            let share = g.div(dy, ties)?;
            g.select(is_largest, share, zero)
        }
    }
}

/// The adjoint of broadcasting: a sum along the axes that were broadcast.
pub(super) fn sum_to_shape(g: &mut Graph, x: ValueId, shape: Shape) -> Rule {
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
