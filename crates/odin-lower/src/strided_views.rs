//! The strided view of each value onto its most distant materialised source.

use crate::StridedView;
use crate::strides::broadcast_strides;
use odin_graph::{Graph, Op, ValueId};

/// For each value its strided view. The base is the most distant value from which it is derived by
/// rearranging elements alone, but no further than the nearest one that another operator reads,
/// since that is materialised anyway. A value that is computed is its own base.
pub fn strided_views(graph: &Graph) -> Vec<StridedView> {
    onto(graph, &is_materialised(graph))
}

/// As [`strided_views`], whatever other operators read: for an engine whose kernels read all
/// operands by strides, so that nothing is materialised for them.
pub fn furthest_strided_views(graph: &Graph) -> Vec<StridedView> {
    onto(graph, &vec![false; graph.nodes().len()])
}

/// The strided view of each value onto the most distant source from which only values lie that are
/// not materialised.
fn onto(graph: &Graph, materialised: &[bool]) -> Vec<StridedView> {
    let mut all: Vec<StridedView> = Vec::new();
    for v in graph.values() {
        let reading = match graph.node(v).operands.first() {
            Some(&x) if materialised[x.index()] => compose(graph, v, &StridedView::whole(graph, x)),
            Some(&x) => compose(graph, v, &all[x.index()]),
            None => None,
        };
        all.push(reading.unwrap_or_else(|| StridedView::whole(graph, v)));
    }
    all
}

/// For each value, whether an output or an operator other than a rearrangement reads it, directly
/// or through a reshape.
fn is_materialised(graph: &Graph) -> Vec<bool> {
    let mut materialised = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        materialised[output.value.index()] = true;
    }
    for v in graph.values().rev() {
        let node = graph.node(v);
        let reads = match node.op {
            Op::Transpose(_) | Op::Slice(_) | Op::Expand(_) => false,
            Op::Reshape(_) => materialised[v.index()],
            _ => true,
        };
        for x in node.operands.iter().filter(|_| reads) {
            materialised[x.index()] = true;
        }
    }
    materialised
}

/// The view of a rearranging operator's result, given that of its operand; `None` for other
/// operators and where strides cannot express it.
fn compose(graph: &Graph, v: ValueId, operand: &StridedView) -> Option<StridedView> {
    let node = graph.node(v);
    let x = *node.operands.first()?;
    let (from, to) = (graph.shape(x).at(1), graph.shape(v).at(1));
    let StridedView {
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
                // The stride of an axis of one element is arbitrary, so it may wrap.
                strides[cut.axis] = strides[cut.axis].wrapping_mul(cut.step);
            }
            strides
        }
        Op::Expand(_) => {
            let lead = to.len() - from.len();
            let repeated = broadcast_strides(&from, &to);
            let own = std::iter::repeat_n(&0, lead).chain(own);
            let stride = |(&own, repeated)| if repeated == 0 { 0 } else { own };
            own.zip(repeated).map(stride).collect()
        }
        _ => return None,
    };
    Some(StridedView {
        base: *base,
        first,
        strides,
    })
}

/// The strides of the same elements under another shape; `None` where merged axes are not
/// contiguous with each other.
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
