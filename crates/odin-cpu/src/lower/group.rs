//! Fusion groups: the operators that one step computes.

use super::chain::Chain;
use odin_graph::{Graph, Op, ValueId};
use odin_lower::leaves;

/// Operators that are computed in one step: a head, the prologue applied to its input, and the
/// epilogue applied to its result.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) head: Head,
    /// The operand of the prologue, or of the head if there is none.
    pub(crate) input: ValueId,
    pub(crate) prologue: Chain,
    pub(crate) epilogue: Chain,
    /// The nodes of [`Head::Elementwise`], or those applied to a [`Head::Product`], which they know as
    /// `input`, in topological order.
    pub(crate) nodes: Vec<ValueId>,
    /// Of a [`Head::Product`] what it reads as its operands: the bases of strided views that are read
    /// in place, else the operands themselves.
    pub(crate) factors: Vec<ValueId>,
    /// The result.
    pub(crate) value: ValueId,
}

/// The main operator of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// A convolution of one or two axes, or its adjoint, with constant weights.
    Conv(ValueId),
    /// No operator: the epilogue alone.
    Identity,
    /// Fused elementwise operators of one shape.
    Elementwise,
    /// A node that only rearranges elements: a strided copy of the group's input.
    StridedCopy(ValueId),
    /// A matrix product.
    Product(ValueId),
    /// Any other node, not fused.
    Single(ValueId),
}

impl Group {
    /// The values that the step reads, constants and masks saved as sign bits included.
    pub(crate) fn reads(&self, graph: &Graph) -> Vec<ValueId> {
        match self.head {
            Head::Single(v) => graph.node(v).operands.clone(),
            Head::Elementwise => leaves(graph, &self.nodes),
            Head::Product(_) => {
                let mut reads = self.factors.clone();
                let leaves = leaves(graph, &self.nodes).into_iter();
                reads.extend(leaves.filter(|&x| x != self.input));
                reads
            }
            Head::StridedCopy(_) => vec![self.input],
            Head::Conv(_) | Head::Identity => [self.input]
                .into_iter()
                .chain(self.prologue.operands())
                .chain(self.epilogue.operands())
                .collect(),
        }
    }

    /// As [`Group::reads`], without constants.
    pub(crate) fn operands(&self, graph: &Graph) -> Vec<ValueId> {
        let mut operands = self.reads(graph);
        operands.retain(|&v| !matches!(graph.node(v).op, Op::Constant(_)));
        operands
    }
}
