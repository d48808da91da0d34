//! What shaders can index: they count in 32 bits.

use super::unsupported;
use crate::Error;
use odin_graph::op::{self, Window};
use odin_graph::{Graph, Op, ValueId};

/// The largest number of elements of a value for one image, and of positions of a padded axis.
const LARGEST: usize = 1 << 31;

/// Refuses graphs in which a number would wrap.
pub(super) fn check(graph: &Graph) -> Result<(), Error> {
    let needed = graph.needed_for_outputs();
    for v in graph.values().filter(|v| needed[v.index()]) {
        let elements = graph.shape(v).at(1).into_iter();
        let elements = elements.fold(1_usize, usize::saturating_mul);
        let is_large = elements >= LARGEST || windows_reach(graph, v) >= LARGEST;
        if is_large {
            return Err(unsupported(format!(
                "{} of {} elements for an image is too large for shaders, which count in 32 bits; use the device cpu",
                graph.describe(v),
                elements
            )));
        }
    }
    Ok(())
}

/// The largest position that a window of a node has along an axis, padding included, or a larger
/// number.
fn windows_reach(graph: &Graph, v: ValueId) -> usize {
    let node = graph.node(v);
    let window = match &node.op {
        Op::Conv(op::Conv { window, .. }) | Op::MaxPool(window) | Op::MaxPoolGrad(window) => window,
        Op::ConvTranspose(conv) => &conv.window,
        Op::AvgPool(pool) => &pool.window,
        _ => return 0,
    };
    let values = node.operands.first().copied().into_iter().chain([v]);
    let largest = values.flat_map(|value| graph.shape(value).at(1).into_iter().skip(2));
    let positions = largest.max().unwrap_or(1);
    (0..window.axes())
        .map(|axis| reach(window, axis, positions))
        .max()
        .unwrap_or(0)
}

fn reach(w: &Window, axis: usize, positions: usize) -> usize {
    let gaps = w.kernel[axis].saturating_sub(1);
    positions
        .saturating_mul(w.strides[axis])
        .saturating_add(gaps.saturating_mul(w.dilations[axis]))
        .saturating_add(w.pads_begin[axis])
        .saturating_add(w.pads_end[axis])
        .saturating_add(w.dilations[axis])
}
