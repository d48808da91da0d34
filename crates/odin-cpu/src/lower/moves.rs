//! Operators that only move elements. Several in a row are one step, which reads where the first
//! one does; one that leaves the elements in order is none, see [`super::views`].

use super::fuse::{Group, Head};
use super::place::operands;
use super::views::View;
use crate::kernels::walk::{broadcast_strides, row_major};
use odin_graph::{Graph, Op, ValueId};

/// Where the elements of a value are read: that at position `p`, for one image, is element
/// `first + p · strides` of `base`.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) base: ValueId,
    pub(crate) first: usize,
    /// For each axis of the value.
    pub(crate) strides: Vec<usize>,
}

/// For each value, the farthest value from which nothing but moves leads to it, or the nearest that
/// something else reads as well: that one is in memory anyway. It is the value itself where that is
/// computed otherwise.
pub(crate) fn readings(graph: &Graph) -> Vec<Reading> {
    let are_read = are_read(graph);
    let mut all: Vec<Reading> = Vec::new();
    for v in graph.values() {
        let reading = match graph.node(v).operands.first() {
            Some(&x) if are_read[x.index()] => through(graph, v, &whole(graph, x)),
            Some(&x) => through(graph, v, &all[x.index()]),
            None => None,
        };
        all.push(reading.unwrap_or_else(|| whole(graph, v)));
    }
    all
}

/// All of a value in order.
fn whole(graph: &Graph, v: ValueId) -> Reading {
    Reading {
        base: v,
        first: 0,
        strides: row_major(&graph.shape(v).at(1)),
    }
}

/// For each value, whether anything but moves reads it, as it is or under another shape.
fn are_read(graph: &Graph) -> Vec<bool> {
    let mut are_read = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        are_read[output.value.index()] = true;
    }
    for v in graph.values().rev() {
        let node = graph.node(v);
        let reads = match node.op {
            Op::Transpose(_) | Op::Slice(_) | Op::Expand(_) => false,
            Op::Reshape(_) => are_read[v.index()],
            _ => true,
        };
        for x in node.operands.iter().filter(|_| reads) {
            are_read[x.index()] = true;
        }
    }
    are_read
}

/// What a move reads, given where its operand is read.
fn through(graph: &Graph, v: ValueId, operand: &Reading) -> Option<Reading> {
    let node = graph.node(v);
    let x = *node.operands.first()?;
    let (from, to) = (graph.shape(x).at(1), graph.shape(v).at(1));
    let Reading {
        base,
        first,
        strides,
    } = operand;
    let (own, mut first) = (strides, *first);
    let strides = match &node.op {
        Op::Reshape(_) => reshaped(&from, own, &to)?,
        Op::Transpose(perm) => perm.iter().map(|&axis| own[axis]).collect(),
        Op::Slice(slice) => {
            let mut strides = own.clone();
            for cut in &slice.axes {
                first += cut.start * own[cut.axis];
                // The stride of a single element means nothing, however large.
                strides[cut.axis] = strides[cut.axis].wrapping_mul(cut.step);
            }
            strides
        }
        Op::Expand(_) => {
            let lead = to.len() - from.len();
            let is_repeated = broadcast_strides(&from, &to);
            let own = std::iter::repeat_n(&0, lead).chain(own);
            let stride = |(&own, moves)| if moves == 0 { 0 } else { own };
            own.zip(is_repeated).map(stride).collect()
        }
        _ => return None,
    };
    Some(Reading {
        base: *base,
        first,
        strides,
    })
}

/// The strides of the same elements under another shape, if there are any: neighbouring axes that
/// are joined have to be passed through evenly.
fn reshaped(from: &[usize], strides: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    let mut from = from.iter().zip(strides).filter(|&(&extent, _)| extent != 1);
    let mut all = vec![0; to.len()];
    let mut axes = (0..to.len()).filter(|&axis| to[axis] != 1);
    while let Some((&extent, &stride)) = from.next() {
        let (mut joined, mut innermost) = (extent, stride);
        let first = axes.next()?;
        let (mut split, mut count) = (vec![first], to[first]);
        while joined != count {
            if joined < count {
                let (&extent, &stride) = from.next()?;
                if innermost != stride * extent {
                    return None;
                }
                (joined, innermost) = (joined * extent, stride);
            } else {
                let axis = axes.next()?;
                split.push(axis);
                count *= to[axis];
            }
        }
        for &axis in split.iter().rev() {
            all[axis] = innermost;
            innermost *= to[axis];
        }
    }
    Some(all)
}

impl Reading {
    /// Whether the elements of a value of this shape lie one after the other.
    pub(crate) fn is_in_order(&self, shape: &[usize]) -> bool {
        let mut axes = shape.iter().zip(&self.strides).zip(row_major(shape));
        axes.all(|((&extent, &stride), in_order)| extent == 1 || stride == in_order)
    }
}

/// Lets moves read where the first of a row of them does, and leaves out those that nobody reads
/// any more and those that are views.
pub(super) fn compose(
    graph: &Graph,
    views: &[View],
    readings: &[Reading],
    groups: Vec<Group>,
) -> Vec<Group> {
    let mut needed = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        needed[views[output.value.index()].root.index()] = true;
    }
    let mut kept = Vec::new();
    for mut group in groups.into_iter().rev() {
        if let Head::Single(v) = group.head {
            if views[v.index()].root != v {
                continue;
            }
            if readings[v.index()].base != v {
                if !needed[v.index()] {
                    continue;
                }
                (group.head, group.input) = (Head::Move(v), readings[v.index()].base);
            }
        }
        for x in operands(graph, &group) {
            needed[views[x.index()].root.index()] = true;
        }
        kept.push(group);
    }
    kept.reverse();
    kept
}
