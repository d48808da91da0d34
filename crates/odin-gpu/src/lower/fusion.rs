//! Operator fusion: products with the elementwise operators before and after them, and elementwise
//! operators among themselves.

use crate::shader::is_elementwise;
use odin_graph::{Graph, Op, ValueId, op};
use odin_lower::{ElementwiseFusion, StridedView, View, cost_of, leaves};

/// The most output channels of a 1x1 convolution that computes its input while it reads it: it does
/// so once for each tile of rows.
const PROLOGUE_ROWS: usize = 128;

/// The most operations per element of an epilogue: the text of a product has it once for each column
/// of a block, and is compiled for long where it is long.
const EPILOGUE_COST: usize = 32;

/// The most operations per element of a prologue.
const PROLOGUE_COST: usize = 8;

/// The operators that a step computes.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) kind: Kind,
    /// Elementwise nodes that compute the first operand of the head, in order; mostly none.
    pub(super) prologue: Vec<ValueId>,
    /// Elementwise nodes applied to the head's result, or alone, in order.
    pub(super) epilogue: Vec<ValueId>,
    /// The result.
    pub(super) value: ValueId,
}

/// The main operator of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// None: the epilogue alone.
    Elementwise,
    /// A node.
    Node(ValueId),
    /// A node that only rearranges elements: a strided copy.
    Copy(ValueId),
}

/// A read of a step.
pub(super) struct Read {
    pub(super) value: ValueId,
    /// Whether the step needs it as one contiguous part of memory.
    pub(super) is_contiguous: bool,
}

impl Group {
    /// The node of the main operator.
    pub(super) fn head(&self) -> Option<ValueId> {
        match self.kind {
            Kind::Elementwise => None,
            Kind::Node(v) | Kind::Copy(v) => Some(v),
        }
    }

    /// The values that the step reads.
    pub(super) fn reads(&self, graph: &Graph) -> Vec<Read> {
        let mut reads = Vec::new();
        let strided = |value| Read {
            value,
            is_contiguous: false,
        };
        reads.extend(leaves(graph, &self.prologue).into_iter().map(strided));
        if let Kind::Node(v) = self.kind {
            let node = graph.node(v);
            let is_contiguous = needs_contiguous(&node.op);
            for &x in &node.operands[usize::from(!self.prologue.is_empty())..] {
                reads.push(Read {
                    value: x,
                    is_contiguous,
                });
            }
        }
        if let Kind::Copy(v) = self.kind {
            reads.push(strided(v));
        }
        let others = leaves(graph, &self.epilogue).into_iter();
        reads.extend(others.filter(|&x| self.kind != Kind::Node(x)).map(strided));
        reads
    }
}

/// Whether the kernels of an operator read whole planes, one after the other.
fn needs_contiguous(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv(_) | Op::ConvTranspose(_) | Op::MaxPool(_) | Op::MaxPoolGrad(_) | Op::AvgPool(_)
    )
}

/// The value in memory that a read needs: computed, an input, or a constant.
pub(super) fn root(strided: &[StridedView], views: &[View], read: &Read) -> ValueId {
    let base = match read.is_contiguous {
        true => read.value,
        false => strided[read.value.index()].base,
    };
    views[base.index()].root
}

/// The groups that the outputs need, in the order of their results.
pub(super) fn groups(graph: &Graph, strided: &[StridedView], views: &[View]) -> Vec<Group> {
    let needed = graph.needed_for_outputs();
    let is_fusable: Vec<bool> = graph
        .values()
        .map(|v| needed[v.index()] && is_elementwise(&graph.node(v).op))
        .collect();
    let mut takes: Vec<bool> = graph
        .values()
        .map(|v| needed[v.index()] && takes_prologue(graph, v))
        .collect();
    // What a prologue computes is not stored for it; one that would be long reads memory instead,
    // and so become those shorter that would contain it.
    loop {
        let consumers = stored_consumers(graph, &needed, &takes);
        let fused = ElementwiseFusion::new(graph, &is_fusable, &consumers).decided();
        let is_long = |v: ValueId| {
            let x = graph.node(v).operands[0];
            let is_inline = takes[v.index()] && is_fusable[x.index()] && !fused.is_stored(x);
            is_inline && !is_short_prologue(graph, &fused.nodes(x))
        };
        let long: Vec<ValueId> = graph
            .values()
            .filter(|&v| takes[v.index()] && is_long(v))
            .collect();
        if long.is_empty() {
            let decisions = Decisions {
                needed: &needed,
                is_fusable: &is_fusable,
                takes: &takes,
            };
            let groups = fuse_epilogues(graph, form(graph, decisions, &fused));
            return prune(graph, strided, views, groups);
        }
        for v in long {
            takes[v.index()] = false;
        }
    }
}

/// What is known of each value.
#[derive(Clone, Copy)]
struct Decisions<'a> {
    needed: &'a [bool],
    is_fusable: &'a [bool],
    /// Whether its kernel computes its first operand while it reads it, where that is elementwise.
    takes: &'a [bool],
}

/// For each value the needed nodes that read it from memory, if it is stored.
fn stored_consumers(graph: &Graph, needed: &[bool], takes: &[bool]) -> Vec<Vec<ValueId>> {
    let mut consumers: Vec<Vec<ValueId>> = vec![Vec::new(); graph.nodes().len()];
    for v in graph.values().filter(|v| needed[v.index()]) {
        let own = &graph.node(v).operands[usize::from(takes[v.index()])..];
        for x in own {
            consumers[x.index()].push(v);
        }
    }
    consumers
}

/// Whether a prologue does little for each element.
fn is_short_prologue(graph: &Graph, nodes: &[ValueId]) -> bool {
    let variable = |x: &&ValueId| graph.constant_value(**x).is_none();
    let operands = leaves(graph, nodes);
    cost_of(graph, nodes) <= PROLOGUE_COST && operands.iter().filter(variable).count() <= 2
}

/// The groups of values that are stored, and of all other nodes.
fn form(graph: &Graph, decisions: Decisions<'_>, fused: &ElementwiseFusion<'_>) -> Vec<Group> {
    let Decisions {
        needed,
        is_fusable,
        takes,
    } = decisions;
    let mut groups = Vec::new();
    for v in graph.values().filter(|v| needed[v.index()]) {
        let kind = match &graph.node(v).op {
            Op::Input(_) | Op::Constant(_) => continue,
            _ if is_fusable[v.index()] && !fused.is_stored(v) => continue,
            _ if is_fusable[v.index()] => Kind::Elementwise,
            Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Expand(_) => Kind::Copy(v),
            _ => Kind::Node(v),
        };
        let mut group = Group {
            kind,
            prologue: Vec::new(),
            epilogue: Vec::new(),
            value: v,
        };
        if kind == Kind::Elementwise {
            group.epilogue = fused.nodes(v);
        }
        if let Some(&x) = graph.node(v).operands.first() {
            let is_inline = is_fusable[x.index()] && !fused.is_stored(x);
            if matches!(kind, Kind::Node(_)) && takes[v.index()] && is_inline {
                group.prologue = fused.nodes(x);
            }
        }
        groups.push(group);
    }
    groups
}

/// Whether a node's kernel can compute its first operand while it reads it.
fn takes_prologue(graph: &Graph, v: ValueId) -> bool {
    let node = graph.node(v);
    match &node.op {
        Op::Reduce(_) => true,
        Op::Conv(op::Conv { window, groups }) => {
            let constant = graph.constant_value(node.operands[1]).is_some();
            let channels = graph.shape(v).at(1)[1];
            constant && *groups == 1 && is_pointwise(window) && channels <= PROLOGUE_ROWS
        }
        _ => false,
    }
}

/// Whether a window is a single element at every position.
pub(super) fn is_pointwise(window: &op::Window) -> bool {
    let dense = window.kernel.iter().chain(&window.strides).all(|&n| n == 1);
    let pads = [&window.pads_begin, &window.pads_end];
    dense && window.axes() <= 2 && pads.iter().all(|all| all.iter().all(|&p| p == 0))
}

/// Lets products apply the elementwise operators that alone read their results.
fn fuse_epilogues(graph: &Graph, mut groups: Vec<Group>) -> Vec<Group> {
    let n = graph.nodes().len();
    let mut uses = vec![0; n];
    for output in graph.outputs() {
        uses[output.value.index()] += 1;
    }
    for group in &groups {
        for read in group.reads(graph) {
            uses[read.value.index()] += 1;
        }
        // Whoever reads a view reads what it is a view of.
        if let Kind::Copy(v) = group.kind {
            uses[graph.node(v).operands[0].index()] += 1;
        }
    }
    let mut fused_into: Vec<Option<usize>> = vec![None; n];
    for (index, group) in groups.iter().enumerate() {
        let is_short = cost_of(graph, &group.epilogue) <= EPILOGUE_COST;
        if group.kind != Kind::Elementwise || !is_short {
            continue;
        }
        let own = graph.shape(group.value).at(1);
        let fits = |x: &ValueId| {
            let is_product = matches!(
                graph.node(*x).op,
                Op::Conv(_) | Op::ConvTranspose(_) | Op::MatMul | Op::Gemm(_)
            );
            is_product && uses[x.index()] == 1 && graph.shape(*x).at(1) == own
        };
        let last = leaves(graph, &group.epilogue)
            .into_iter()
            .filter(fits)
            .max();
        if let Some(x) = last {
            fused_into[x.index()] = Some(index);
        }
    }
    let heads: Vec<Group> = groups.clone();
    for head in heads {
        let Kind::Node(v) = head.kind else { continue };
        if let Some(index) = fused_into[v.index()] {
            groups[index].kind = head.kind;
            groups[index].prologue = head.prologue;
        }
    }
    let is_own = |group: &Group| match group.kind {
        Kind::Node(v) => fused_into[v.index()].is_none() || group.value != v,
        _ => true,
    };
    groups.retain(is_own);
    groups.sort_by_key(|group| group.value);
    groups
}

/// Drops what no step and no output reads: mostly rearrangements, which are read by strides.
fn prune(graph: &Graph, strided: &[StridedView], views: &[View], groups: Vec<Group>) -> Vec<Group> {
    let mut needed = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        needed[views[output.value.index()].root.index()] = true;
    }
    let mut kept = Vec::new();
    for group in groups.into_iter().rev() {
        if !needed[group.value.index()] {
            continue;
        }
        for read in group.reads(graph) {
            needed[root(strided, views, &read).index()] = true;
        }
        kept.push(group);
    }
    kept.reverse();
    kept
}
