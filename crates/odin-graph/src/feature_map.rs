//! The feature map of a classifier: what a global average pooling makes the features of.

use crate::op::{AvgPool, Reduce, ReduceKind};
use crate::{Dim, Error, Graph, Op, Shape, ValueId};

/// A value `[N, ...]` whose mean over all positions is the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureMap {
    /// The value.
    pub value: ValueId,
    /// The axis of the channels, of which each is a feature; all axes but this and the first are
    /// positions.
    pub channel_axis: usize,
}

/// Finds the value whose mean over all positions the features are: a mean over axes or an average
/// pooling of the whole extent, followed by reshapes, or by transpositions that move no element.
///
/// # Errors
/// If the features are computed by another operator; the text names it.
pub fn feature_map(graph: &Graph, features: ValueId) -> Result<FeatureMap, String> {
    let mut value = features;
    loop {
        let node = graph.node(value);
        let &[x, ..] = &node.operands[..] else {
            return Err(refused(graph, value));
        };
        let shape = graph.shape(x);
        let found = match &node.op {
            Op::Reshape(_) => None,
            Op::Transpose(perm) if moves_nothing(shape, perm) => None,
            Op::Reduce(reduce) if reduce.kind == ReduceKind::Mean => match extent_of(shape, reduce)
            {
                1 => None,
                _ => Some(kept_axis(shape, reduce)),
            },
            Op::AvgPool(pool) if covers(shape, pool) => Some(Some(1)),
            _ => return Err(refused(graph, value)),
        };
        match found {
            None => value = x,
            Some(Some(channel_axis)) => {
                return Ok(FeatureMap {
                    value: x,
                    channel_axis,
                });
            }
            Some(None) => return Err(refused(graph, value)),
        }
    }
}

fn refused(graph: &Graph, value: ValueId) -> String {
    let place = graph.describe(value);
    format!("the features come from {place}, which is no mean over the positions of a feature map")
}

impl FeatureMap {
    /// The map with its channels first, `[N, C, ...]`.
    ///
    /// # Errors
    /// If the graph has too many nodes.
    pub fn channels_first(self, g: &mut Graph) -> Result<ValueId, Error> {
        let positions = (1..g.shape(self.value).rank()).filter(|&axis| axis != self.channel_axis);
        let perm: Vec<usize> = [0, self.channel_axis]
            .into_iter()
            .chain(positions)
            .collect();
        match perm.is_sorted() {
            true => Ok(self.value),
            false => g.add(Op::Transpose(perm), &[self.value]),
        }
    }
}

fn is_batch_first(shape: &Shape) -> bool {
    shape.dims().first() == Some(&Dim::BATCH)
}

/// Whether a permutation leaves the order of the elements as it is: that of the axes of more than
/// one entry.
fn moves_nothing(shape: &Shape, perm: &[usize]) -> bool {
    let extents = shape.at(2);
    let moved = perm.iter().filter(|&&axis| extents[axis] > 1);
    moved.is_sorted()
}

/// How many elements each mean is of.
fn extent_of(shape: &Shape, reduce: &Reduce) -> usize {
    let extents = shape.at(1);
    reduce.axes.iter().map(|&axis| extents[axis]).product()
}

/// The axis that a reduction leaves beside the batch, if only one of those has several entries.
fn kept_axis(shape: &Shape, reduce: &Reduce) -> Option<usize> {
    let extents = shape.at(2);
    let kept = (1..shape.rank()).filter(|axis| !reduce.axes.contains(axis));
    let kept: Vec<usize> = kept.filter(|&axis| extents[axis] > 1).collect();
    match kept[..] {
        [axis] if is_batch_first(shape) => Some(axis),
        _ => None,
    }
}

/// Whether a pooling sees every element, and no padding, at its only position.
fn covers(shape: &Shape, pool: &AvgPool) -> bool {
    let window = &pool.window;
    let spatial = shape.at(1).into_iter().skip(2);
    let unpadded = |pads: &[usize]| pads.iter().all(|&pad| pad == 0);
    is_batch_first(shape)
        && spatial.eq(window.kernel.iter().copied())
        && window.dilations.iter().all(|&dilation| dilation == 1)
        && unpadded(&window.pads_begin)
        && unpadded(&window.pads_end)
}
