//! The pass that folds paddings with zeros into the convolutions that read them.

use super::eliminate_dead_code;
use super::rebuild::{count_uses, rebuild};
use crate::op::{Conv, ConvTranspose, Pad, Slice, Window};
use crate::{Error, Graph, Node, Op, ValueId};

/// Folds every padding of spatial axes with zeros into the windows of the convolutions that read it.
/// The adjoint, a slice that alone reads the adjoint of a convolution, becomes padding of its window
/// likewise.
///
/// # Errors
/// If the graph is not well formed.
pub fn fold_paddings(graph: &Graph) -> Result<Graph, Error> {
    let uses = count_uses(graph);
    let folded = rebuild(graph, |new, value, node| {
        let node = match &node.op {
            Op::Conv(conv) => without_padding(new, conv, &node),
            Op::Slice(slice) if uses[graph.node(value).operands[0].index()] == 1 => {
                without_slice(new, slice, &node)
            }
            _ => None,
        }
        .unwrap_or(node);
        new.at(node.origin.clone());
        new.add(node.op, &node.operands).map(Some)
    })?;
    eliminate_dead_code(&folded)
}

/// The convolution that reads what its operand pads, by a window with that padding.
fn without_padding(g: &Graph, conv: &Conv, node: &Node) -> Option<Node> {
    let (mut window, mut x) = (conv.window.clone(), node.operands[0]);
    while let Some(padded) = padding(g, x, &window) {
        (x, window) = padded;
    }
    let mut folded = node.clone();
    folded.op = Op::Conv(Conv {
        window,
        groups: conv.groups,
    });
    folded.operands[0] = x;
    (x != node.operands[0]).then_some(folded)
}

/// What `x` pads with zeros, and the window with that padding.
fn padding(g: &Graph, x: ValueId, window: &Window) -> Option<(ValueId, Window)> {
    let Op::Pad(Pad { axes, value: 0.0 }) = &g.node(x).op else {
        return None;
    };
    let mut window = window.clone();
    for border in axes.iter().filter(|b| b.before > 0 || b.after > 0) {
        let axis = border.axis.checked_sub(2)?;
        let (begin, end) = (&mut window.pads_begin[axis], &mut window.pads_end[axis]);
        *begin = begin.checked_add(border.before)?;
        *end = end.checked_add(border.after)?;
    }
    Some((g.node(x).operands[0], window))
}

/// The adjoint of a convolution that computes only what the slice keeps of it.
fn without_slice(g: &Graph, slice: &Slice, node: &Node) -> Option<Node> {
    let source = node.operands[0];
    let Op::ConvTranspose(conv) = &g.node(source).op else {
        return None;
    };
    let extent = |v: ValueId, axis: usize| g.shape(v).dims()[axis].fixed();
    let mut conv: ConvTranspose = conv.clone();
    for cut in &slice.axes {
        let all = extent(source, cut.axis)?;
        let end = cut.end.min(all);
        if cut.start == 0 && end == all && cut.step == 1 {
            continue;
        }
        let axis = cut.axis.checked_sub(2).filter(|_| cut.step == 1)?;
        let window = &mut conv.window;
        let begin = window.pads_begin[axis].checked_add(cut.start)?;
        let removed = window.pads_end[axis].checked_add(all - end)?;
        let added = conv.output_padding[axis];
        window.pads_begin[axis] = begin;
        window.pads_end[axis] = removed.saturating_sub(added);
        conv.output_padding[axis] = added.saturating_sub(removed);
        let input = extent(g.node(source).operands[0], cut.axis)?;
        // Where a window position reaches at all.
        if conv.output_extent(axis, input) != end.checked_sub(cut.start) {
            return None;
        }
    }
    Some(Node {
        op: Op::ConvTranspose(conv),
        ..g.node(source).clone()
    })
}
