//! The cost model: multiply-adds of convolutions and matrix products.

use crate::op::{Conv, ConvTranspose, Window};
use crate::{Graph, Op, Shape, ValueId};

/// The multiply-adds of one forward pass for one image: those of all convolutions and matrix
/// products that an output depends on. One is two floating-point operations. Products of constants
/// are computed once, when a graph is prepared, and do not count.
pub fn multiply_adds(graph: &Graph) -> u64 {
    let (varies, needed) = (graph.depends_on_inputs(), graph.needed_for_outputs());
    let counted = graph
        .values()
        .filter(|v| varies[v.index()] && needed[v.index()]);
    counted
        .map(|v| node_multiply_adds(graph, v))
        .fold(0, u64::saturating_add)
}

/// The multiply-adds of one node for one image, by direct evaluation; 0 for operators other than
/// convolutions and matrix products.
pub fn node_multiply_adds(graph: &Graph, value: ValueId) -> u64 {
    let node = graph.node(value);
    let operand = |i: usize| graph.shape(node.operands[i]);
    let extent = |shape: &Shape, axis: usize| shape.dims().get(axis).map_or(1, |d| d.at(1) as u64);
    // The weights of one filter: those of all channels of its group.
    let filter = || {
        let dims = operand(1).dims().iter().skip(1);
        dims.map(|d| d.at(1) as u64).fold(1, u64::saturating_mul)
    };
    match &node.op {
        Op::Conv(_) => elements(graph, value).saturating_mul(filter()),
        Op::ConvTranspose(_) => elements(graph, node.operands[0]).saturating_mul(filter()),
        Op::MatMul => {
            let inner = operand(0).rank().saturating_sub(1);
            elements(graph, value).saturating_mul(extent(operand(0), inner))
        }
        Op::Gemm(gemm) => {
            let inner = usize::from(!gemm.trans_a);
            elements(graph, value).saturating_mul(extent(operand(0), inner))
        }
        _ => 0,
    }
}

/// The elements of a value for one image.
pub fn elements(graph: &Graph, value: ValueId) -> u64 {
    let extents = graph.shape(value).dims().iter().map(|d| d.at(1) as u64);
    extents.fold(1, u64::saturating_mul)
}

/// What evaluating a node once takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Of memory, in f64.
    pub bytes: u64,
    /// Operations.
    pub work: u64,
}

/// Bytes of a node itself with its shapes, and operations to look at it.
pub(crate) const NODE: u64 = 512;

/// What the [interpreter](crate::interpret) takes for one node, in f64 and for one image: an upper
/// bound of the order.
pub fn interpretation(graph: &Graph, value: ValueId) -> Cost {
    /// Of a read of a window: its place, in several lists.
    const READ: u64 = 64;
    let node = graph.node(value);
    let count = elements(graph, value);
    let taps = |window: &Window| {
        let kernel = window.kernel.iter().map(|&k| k as u64);
        kernel.fold(1, u64::saturating_mul)
    };
    let reads = match &node.op {
        Op::Conv(Conv { window, .. }) | Op::MaxPool(window) => count.saturating_mul(taps(window)),
        Op::AvgPool(pool) => count.saturating_mul(taps(&pool.window)),
        Op::ConvTranspose(ConvTranspose { window, .. }) => {
            elements(graph, node.operands[0]).saturating_mul(taps(window))
        }
        Op::MaxPoolGrad(window) => elements(graph, node.operands[1]).saturating_mul(taps(window)),
        _ => 0,
    };
    let products = node_multiply_adds(graph, value);
    let bytes = count.saturating_mul(size_of::<f64>() as u64);
    Cost {
        bytes: bytes
            .saturating_add(reads.saturating_mul(READ))
            .saturating_add(NODE),
        work: count
            .saturating_add(reads)
            .saturating_add(products)
            .saturating_add(NODE),
    }
}
