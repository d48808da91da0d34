//! Which elementwise operators are computed together.
//!
//! A block computes one value, when it is due, from the nearest values that are in memory. Nothing
//! is moved in time, so that no cycle can arise. What several blocks need is computed by each of
//! them anew where that is cheap and reads no more memory than fetching it would: the gradient of
//! an activation thus needs nothing but the activation's argument.

use super::group::leaves;
use crate::kernels::fused_elementwise::{Builder, ElementwiseOp, FusedElementwise};
use crate::simd::Isa;
use odin_graph::{DType, Graph, Op, ValueId, op};

/// The most that may be computed twice, in simple operations. The error function and the
/// exponential function together cost about as much.
const RECOMPUTE_LIMIT: usize = 40;
/// The most operators that a block may have.
const MAX_OPERATORS: usize = 64;
/// How many nodes later a value counts as computed at once: what it is computed from is likely
/// still there.
const NEARBY: usize = 64;

/// Whether an operator works element by element, as blocks do.
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

/// What computing a node takes, in simple operations.
fn cost(op: &Op) -> usize {
    use op::Unary::{Clip, Cos, Sin, Sqrt};
    match op {
        Op::Unary(Cos | Sin) | Op::Binary(op::Binary::Pow) => 2 * RECOMPUTE_LIMIT,
        Op::Unary(Sqrt) | Op::Binary(op::Binary::Div) => 4,
        Op::Unary(Clip { .. }) => 2,
        Op::Unary(_) => 12,
        _ => 1,
    }
}

/// The kernel of a block.
pub(super) fn kernel(graph: &Graph, isa: Isa, nodes: &[ValueId]) -> Option<FusedElementwise> {
    let leaves = leaves(graph, nodes);
    let shapes: Vec<Vec<usize>> = leaves.iter().map(|&x| graph.shape(x).at(1)).collect();
    let masks = leaves.iter().map(|&x| graph.ty(x).dtype == DType::Bool);
    let value = *nodes.last()?;
    let own = shapes.iter().map(|s| &s[..]).zip(masks);
    let mut builder = Builder::new(isa, &graph.shape(value).at(1), own);
    let mut register: Vec<(ValueId, usize)> = leaves.into_iter().zip(0..).collect();
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

/// Elementwise nodes, and which of them are kept in memory.
pub(super) struct ElementwiseFusion<'a> {
    graph: &'a Graph,
    /// The nodes in question.
    is_fusable: &'a [bool],
    consumers: &'a [Vec<ValueId>],
    extents: Vec<Vec<usize>>,
    /// For each value, the last node that reads it.
    last_use: Vec<usize>,
    /// For each node in question, what it is computed from if only what must be in memory is.
    cones: Vec<Cone>,
    in_memory: Vec<bool>,
}

/// What computing a value takes.
#[derive(Debug, Clone, Default)]
struct Cone {
    /// The nodes.
    nodes: Vec<ValueId>,
    /// The values in memory as large as it.
    large: Vec<ValueId>,
    cost: usize,
}

impl<'a> ElementwiseFusion<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        is_fusable: &'a [bool],
        consumers: &'a [Vec<ValueId>],
    ) -> Self {
        let n = graph.nodes().len();
        let last = |all: &Vec<ValueId>| all.iter().map(|c| c.index()).max().unwrap_or(0);
        let mut blocks = Self {
            graph,
            is_fusable,
            consumers,
            extents: graph.values().map(|v| graph.shape(v).at(1)).collect(),
            last_use: consumers.iter().map(last).collect(),
            cones: vec![Cone::default(); n],
            in_memory: vec![false; n],
        };
        for output in graph.outputs() {
            blocks.last_use[output.value.index()] = usize::MAX;
            blocks.in_memory[output.value.index()] = true;
        }
        for v in graph.values().filter(|v| is_fusable[v.index()]) {
            if !blocks.is_read_by_fusable_only(v) {
                blocks.in_memory[v.index()] = true;
            }
            blocks.cones[v.index()] = blocks.cone(v);
        }
        blocks
    }

    /// Whether all that reads a value are nodes in question of the same shape.
    fn is_read_by_fusable_only(&self, v: ValueId) -> bool {
        let fits = |c: &ValueId| {
            self.is_fusable[c.index()] && self.extents[c.index()] == self.extents[v.index()]
        };
        self.consumers[v.index()].iter().all(fits)
    }

    fn cone(&mut self, v: ValueId) -> Cone {
        let node = self.graph.node(v);
        let mut cone = Cone::default();
        let elements = |v: ValueId| self.extents[v.index()].iter().product::<usize>();
        for &x in &node.operands {
            if self.is_fusable[x.index()] && !self.in_memory[x.index()] {
                let of = &self.cones[x.index()];
                cone.nodes.extend(&of.nodes);
                cone.large.extend(&of.large);
            } else if self.graph.constant_value(x).is_none() && 2 * elements(x) > elements(v) {
                cone.large.push(x);
            }
        }
        cone.nodes.push(v);
        for all in [&mut cone.nodes, &mut cone.large] {
            all.sort_unstable();
            all.dedup();
        }
        let nodes = cone.nodes.iter();
        cone.cost = nodes.map(|&n| cost(&self.graph.node(n).op)).sum();
        if cone.nodes.len() > MAX_OPERATORS {
            self.in_memory[v.index()] = true;
        }
        cone
    }

    /// The values of the blocks, each with the nodes that it is computed by, in order.
    pub(super) fn form(mut self) -> Vec<(ValueId, Vec<ValueId>)> {
        self.decide();
        let kept = |v: &ValueId| self.is_fusable[v.index()] && self.in_memory[v.index()];
        let values = self.graph.values().filter(kept);
        values.map(|v| (v, self.nodes(v))).collect()
    }

    /// Decides, from the last node to the first, what else is in memory.
    fn decide(&mut self) {
        let mut readers: Vec<Vec<ValueId>> = vec![Vec::new(); self.extents.len()];
        for v in self.graph.values().rev() {
            if !self.is_fusable[v.index()] || self.in_memory[v.index()] {
                continue;
            }
            let mut own: Vec<ValueId> = Vec::new();
            for c in &self.consumers[v.index()] {
                match self.in_memory[c.index()] {
                    true => own.push(*c),
                    false => own.extend(&readers[c.index()]),
                }
            }
            own.sort_unstable();
            own.dedup();
            let late = !self.feeds_stored_mask(v) && self.should_recompute(v, &own);
            self.in_memory[v.index()] = !late;
            readers[v.index()] = own;
        }
    }

    /// Whether a mask in memory is computed from it: blocks write numbers.
    fn feeds_stored_mask(&self, v: ValueId) -> bool {
        let is_mask = |c: &ValueId| self.graph.ty(*c).dtype == DType::Bool;
        let mut consumers = self.consumers[v.index()].iter();
        consumers.any(|c| is_mask(c) && self.in_memory[c.index()])
    }

    /// Whether the blocks that read a value had better compute it themselves.
    fn should_recompute(&self, v: ValueId, readers: &[ValueId]) -> bool {
        let cone = &self.cones[v.index()];
        let [reader] = readers else {
            return cone.large.len() <= 1 && cone.cost <= RECOMPUTE_LIMIT;
        };
        // Values that would otherwise be over by then.
        let over = |x: &&ValueId| self.last_use[x.index()] < reader.index();
        let kept_longer = cone.large.iter().filter(over).count();
        kept_longer <= 1 || reader.index() - v.index() <= NEARBY
    }

    /// The nodes that compute a value from what is in memory.
    fn nodes(&self, value: ValueId) -> Vec<ValueId> {
        let (mut nodes, mut next) = (vec![value], vec![value]);
        while let Some(v) = next.pop() {
            for &x in &self.graph.node(v).operands {
                let inside = self.is_fusable[x.index()] && !self.in_memory[x.index()];
                if inside && !nodes.contains(&x) {
                    nodes.push(x);
                    next.push(x);
                }
            }
        }
        nodes.sort_unstable();
        nodes
    }
}
