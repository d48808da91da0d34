//! The kernels of fused elementwise operators.

use super::group::Group;
use crate::kernels::fused_elementwise::{
    Builder, ElementwiseOp, FusedElementwise, ProductEpilogue,
};
use crate::simd::Isa;
use odin_graph::{DType, Graph, Op, ValueId};
use odin_lower::leaves;

/// Whether an operator is elementwise.
pub(super) fn is_elementwise(op: &Op) -> bool {
    function(op).is_some()
}

fn function(op: &Op) -> Option<ElementwiseOp> {
    match op {
        Op::Relu => Some(ElementwiseOp::Relu),
        Op::Unary(op) => Some(ElementwiseOp::Unary(*op)),
        Op::Binary(op) => Some(ElementwiseOp::Binary(*op)),
        Op::Compare(op) => Some(ElementwiseOp::Compare(*op)),
        Op::Where => Some(ElementwiseOp::Where),
        _ => None,
    }
}

/// The kernel of a fused group.
pub(super) fn kernel(graph: &Graph, isa: Isa, nodes: &[ValueId]) -> Option<FusedElementwise> {
    build(graph, isa, nodes, &leaves(graph, nodes))
}

/// The operators that are applied to a product, whose further operands are numbered from `first` on.
pub(super) fn epilogue(
    graph: &Graph,
    isa: Isa,
    group: &Group,
    first: usize,
) -> Option<ProductEpilogue> {
    let mut own = leaves(graph, &group.nodes);
    own.retain(|&x| x != group.input);
    // The product itself comes last, so that the others are numbered without a gap.
    own.push(group.input);
    let program = build(graph, isa, &group.nodes, &own)?;
    Some(ProductEpilogue { program, first })
}

/// The program of some nodes, whose operands are `leaves`.
fn build(
    graph: &Graph,
    isa: Isa,
    nodes: &[ValueId],
    leaves: &[ValueId],
) -> Option<FusedElementwise> {
    let shapes: Vec<Vec<usize>> = leaves.iter().map(|&x| graph.shape(x).at(1)).collect();
    let masks = leaves.iter().map(|&x| graph.ty(x).dtype == DType::Bool);
    let value = *nodes.last()?;
    let own = shapes.iter().map(|s| &s[..]).zip(masks);
    let mut builder = Builder::new(isa, &graph.shape(value).at(1), own);
    let mut register: Vec<(ValueId, usize)> = leaves.iter().copied().zip(0..).collect();
    for (i, &v) in nodes.iter().enumerate() {
        let node = graph.node(v);
        let reads_later = |x: ValueId| {
            let mut later = nodes[i + 1..].iter();
            later.any(|&n| graph.node(n).operands.contains(&x))
        };
        let of = |x: ValueId| register.iter().find(|r| r.0 == x).map(|r| r.1);
        let from: Vec<usize> = node
            .operands
            .iter()
            .map(|&x| of(x))
            .collect::<Option<_>>()?;
        let gone = node.operands.iter().filter(|&&x| !reads_later(x));
        let mut dead: Vec<usize> = gone.filter_map(|&x| of(x)).collect();
        dead.sort_unstable();
        dead.dedup();
        let to = builder.push(function(&node.op)?, &from, &dead);
        register.push((v, to));
    }
    Some(builder.finish())
}
