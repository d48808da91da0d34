//! Fusion of elementwise operators.
//!
//! A group computes one value, when it is due, from the nearest values in memory. No computation is
//! moved to another place in the order, so that no cycle can arise. What several groups need is
//! recomputed in each of them where that is cheap and reads no more memory than loading it would:
//! the gradient of an activation thus needs only the activation's argument.

use odin_graph::{DType, Graph, Op, ValueId, op};

/// The most operations that may be recomputed per element. The error function and the exponential
/// function together take about as many.
const RECOMPUTE_LIMIT: usize = 40;
/// The most operators of a group.
const MAX_OPERATORS: usize = 64;
/// How many nodes later a value counts as computed at once: its operands are likely still in
/// memory.
const NEARBY: usize = 64;

/// The values that fused nodes read and do not compute, in the order of their first use.
pub fn leaves(graph: &Graph, nodes: &[ValueId]) -> Vec<ValueId> {
    let mut leaves = Vec::new();
    for &v in nodes {
        for &x in &graph.node(v).operands {
            if nodes.binary_search(&x).is_err() && !leaves.contains(&x) {
                leaves.push(x);
            }
        }
    }
    leaves
}

/// The operations per element of fused nodes.
pub fn cost_of(graph: &Graph, nodes: &[ValueId]) -> usize {
    nodes.iter().map(|&n| cost(&graph.node(n).op)).sum()
}

/// The operations per element of an operator.
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

/// The decision which elementwise values are stored in memory.
pub struct ElementwiseFusion<'a> {
    graph: &'a Graph,
    /// For each value, whether it may be fused.
    is_fusable: &'a [bool],
    consumers: &'a [Vec<ValueId>],
    extents: Vec<Vec<usize>>,
    /// For each value, the last node that reads it.
    last_use: Vec<usize>,
    /// For each fusable value its cone, if only what must be is stored in memory.
    cones: Vec<Cone>,
    in_memory: Vec<bool>,
}

/// The fan-in cone of a value: the operators that compute it from values in memory.
#[derive(Debug, Clone, Default)]
struct Cone {
    nodes: Vec<ValueId>,
    /// The values in memory that are as large as it.
    large: Vec<ValueId>,
    cost: usize,
}

impl<'a> ElementwiseFusion<'a> {
    /// Prepares the decision. `is_fusable` and `consumers`, the needed nodes that read a value, have
    /// an entry for each value.
    pub fn new(graph: &'a Graph, is_fusable: &'a [bool], consumers: &'a [Vec<ValueId>]) -> Self {
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

    /// Whether only fusable nodes of the same shape read a value.
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
        cone.cost = cost_of(self.graph, &cone.nodes);
        if cone.nodes.len() > MAX_OPERATORS {
            self.in_memory[v.index()] = true;
        }
        cone
    }

    /// The values of the groups, each with the nodes that compute it, in order.
    pub fn form(self) -> Vec<(ValueId, Vec<ValueId>)> {
        let fused = self.decided();
        let kept = |v: &ValueId| fused.is_stored(*v);
        let values = fused.graph.values().filter(kept);
        values.map(|v| (v, fused.nodes(v))).collect()
    }

    /// The same decision, for an engine that asks for each value.
    pub fn decided(mut self) -> Self {
        self.decide();
        self
    }

    /// Whether a value is that of a group, which is stored in memory.
    pub fn is_stored(&self, v: ValueId) -> bool {
        self.is_fusable[v.index()] && self.in_memory[v.index()]
    }

    /// Decides, from the last node to the first, which further values are stored in memory.
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

    /// Whether a stored mask is computed from the value: fused groups store numbers only.
    fn feeds_stored_mask(&self, v: ValueId) -> bool {
        let is_mask = |c: &ValueId| self.graph.ty(*c).dtype == DType::Bool;
        let mut consumers = self.consumers[v.index()].iter();
        consumers.any(|c| is_mask(c) && self.in_memory[c.index()])
    }

    /// Whether the groups that read a value should recompute it.
    fn should_recompute(&self, v: ValueId, readers: &[ValueId]) -> bool {
        let cone = &self.cones[v.index()];
        let [reader] = readers else {
            return cone.large.len() <= 1 && cone.cost <= RECOMPUTE_LIMIT;
        };
        // Operands whose live range would otherwise have ended.
        let over = |x: &&ValueId| self.last_use[x.index()] < reader.index();
        let kept_longer = cone.large.iter().filter(over).count();
        kept_longer <= 1 || reader.index() - v.index() <= NEARBY
    }

    /// The nodes that compute a value from what is in memory.
    pub fn nodes(&self, value: ValueId) -> Vec<ValueId> {
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
