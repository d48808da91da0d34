//! The cost model: multiply-adds of convolutions and matrix products.

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
