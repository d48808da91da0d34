//! Which operators are computed together: a convolution with the normalisation, activation and
//! addition that follow it, and with the activation before it; any of these without a convolution;
//! and whatever works element by element, see [`super::blocks`].

use super::blocks::{Blocks, is_elementwise};
use super::views::is_batch_first;
use crate::kernels::conv1x1::meets_itself;
use odin_graph::op::{Binary, Compare};
use odin_graph::{DType, Graph, Op, ValueId, op};

/// Operators that are computed in one step.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) head: Head,
    /// What the head is applied to, once `before` is.
    pub(crate) input: ValueId,
    pub(crate) before: Chain,
    pub(crate) after: Chain,
    /// Of [`Head::Block`], the nodes, in order.
    pub(crate) nodes: Vec<ValueId>,
    /// The value that comes out.
    pub(crate) value: ValueId,
}

/// What a group is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// A convolution or its adjoint, with known weights, of one or two axes.
    Conv(ValueId),
    /// Nothing but the chain.
    Map,
    /// Elementwise operators of one shape, block by block.
    Block,
    /// A node that only moves elements, see [`super::moves`]; its input is where they come from.
    Move(ValueId),
    /// Any other node, alone.
    Single(ValueId),
}

/// As [`crate::pointwise::Pointwise`], of values. A mask goes by the comparison that it is the
/// result of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    pub(crate) scale: Option<Vec<f32>>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) mask: Option<ValueId>,
    pub(crate) addend: Option<ValueId>,
    pub(crate) last: Last,
    /// The comparison whose result is kept.
    pub(crate) save: Option<ValueId>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Last {
    #[default]
    Nothing,
    Relu,
    Keep(ValueId),
}

/// A link of a chain.
enum Link {
    Affine(Vec<f32>, Vec<f32>),
    Add(ValueId),
    Keep(ValueId),
    /// With the comparison that asks for the signs.
    Relu(Option<ValueId>),
}

impl Chain {
    /// Adds a link, if its turn has not passed.
    fn push(&mut self, link: &Link) -> bool {
        let open = self.last == Last::Nothing;
        match link {
            Link::Affine(scale, bias) => {
                let keeps_zero = self.mask.is_none() || bias.iter().all(|&b| b == 0.0);
                if !open || self.addend.is_some() || !keeps_zero || self.scale.is_some() {
                    return false;
                }
                let earlier = self.bias.take();
                let shifted = |c: usize| match &earlier {
                    Some(earlier) => earlier[c] * scale[c] + bias[c],
                    None => bias[c],
                };
                self.bias = Some((0..scale.len()).map(shifted).collect());
                self.scale = Some(scale.clone());
            }
            Link::Add(value) => {
                if !open || self.addend.is_some() {
                    return false;
                }
                self.addend = Some(*value);
            }
            Link::Keep(mask) => match (self.mask, self.addend, open) {
                (_, _, false) => return false,
                (None, None, true) => self.mask = Some(*mask),
                _ => self.last = Last::Keep(*mask),
            },
            Link::Relu(save) => {
                if !open {
                    return false;
                }
                self.last = Last::Relu;
                self.save = *save;
            }
        }
        true
    }

    /// Whether it does nothing.
    pub(crate) fn is_empty(&self) -> bool {
        let affine = self.scale.is_some() || self.bias.is_some();
        !affine && self.is_alone() && self.last == Last::Nothing && self.save.is_none()
    }

    /// Whether it needs nothing but its input.
    fn is_alone(&self) -> bool {
        self.mask.is_none() && self.addend.is_none() && !matches!(self.last, Last::Keep(_))
    }

    /// The values that it reads, in the order in which kernels number them.
    pub(crate) fn operands(&self) -> impl Iterator<Item = ValueId> + use<> {
        let keep = match self.last {
            Last::Keep(mask) => Some(mask),
            _ => None,
        };
        [self.mask, self.addend, keep].into_iter().flatten()
    }
}

/// Groups all that the outputs need, in order of their values.
pub(crate) fn groups(graph: &Graph) -> Vec<Group> {
    let mut fusion = Fusion::new(graph);
    for v in graph.values() {
        if fusion.needed[v.index()] {
            fusion.visit(v);
        }
    }
    fusion.join_activations();
    fusion.form_blocks();
    let mut groups: Vec<Group> = fusion.groups.into_iter().flatten().collect();
    groups.sort_by_key(|group| group.value);
    groups
}

/// For each value that the outputs need, how often it is used, and whether it is a mask of which
/// the signs of an activation are all that is needed.
struct Fusion<'a> {
    graph: &'a Graph,
    needed: Vec<bool>,
    uses: Vec<usize>,
    /// For each value, the needed nodes that read it.
    consumers: Vec<Vec<ValueId>>,
    /// For each ReLU, the comparison of it with 0 that only stops gradients.
    signs_of: Vec<Option<ValueId>>,
    is_signs: Vec<bool>,
    /// The nodes that become parts of blocks.
    is_block: Vec<bool>,
    groups: Vec<Option<Group>>,
    /// For each value, the group that it comes out of.
    group_of: Vec<Option<usize>>,
}

impl<'a> Fusion<'a> {
    fn new(graph: &'a Graph) -> Self {
        let n = graph.nodes().len();
        let needed = graph.needed_for_outputs();
        let mut consumers: Vec<Vec<ValueId>> = vec![Vec::new(); n];
        let mut uses = vec![0; n];
        for output in graph.outputs() {
            uses[output.value.index()] += 1;
        }
        for v in graph.values().rev().filter(|v| needed[v.index()]) {
            for x in &graph.node(v).operands {
                uses[x.index()] += 1;
                consumers[x.index()].push(v);
            }
        }
        let mut fusion = Self {
            graph,
            signs_of: vec![None; n],
            is_signs: vec![false; n],
            is_block: vec![false; n],
            groups: Vec::new(),
            group_of: vec![None; n],
            uses,
            consumers,
            needed,
        };
        for v in graph.values().filter(|v| fusion.needed[v.index()]) {
            let Some(relu) = fusion.compared_relu(v) else {
                continue;
            };
            let own = &fusion.consumers[v.index()];
            let only_stops = own.len() == fusion.uses[v.index()]
                && own.iter().all(|&c| fusion.kept(c) == Some(v));
            if only_stops && fusion.signs_of[relu.index()].is_none() {
                fusion.signs_of[relu.index()] = Some(v);
                fusion.is_signs[v.index()] = true;
                fusion.uses[relu.index()] -= 1;
            }
        }
        fusion
    }

    fn is_zero(&self, v: ValueId) -> bool {
        let value = self.graph.constant_value(v);
        value.is_some_and(|t| t.data() == [0.0])
    }

    /// The ReLU of which `v` says where it is above 0.
    fn compared_relu(&self, v: ValueId) -> Option<ValueId> {
        let node = self.graph.node(v);
        let (Op::Compare(Compare::Greater), [x, zero]) = (&node.op, &node.operands[..]) else {
            return None;
        };
        let relu = matches!(self.graph.node(*x).op, Op::Relu);
        let batched = is_batch_first(self.graph.shape(*x));
        (relu && batched && self.is_zero(*zero)).then_some(*x)
    }

    /// The mask, if `v` is its operand where the mask is set and 0 elsewhere.
    fn kept(&self, v: ValueId) -> Option<ValueId> {
        let node = self.graph.node(v);
        let (Op::Where, [mask, x, zero]) = (&node.op, &node.operands[..]) else {
            return None;
        };
        let shape = |v: &ValueId| self.graph.shape(*v);
        let same = shape(mask) == shape(x) && *shape(x) == node.ty.shape;
        (same && self.is_zero(*zero) && self.is_variable(*x)).then_some(*mask)
    }

    fn is_variable(&self, v: ValueId) -> bool {
        self.graph.constant_value(v).is_none() && self.graph.ty(v).dtype == DType::Float
    }

    fn visit(&mut self, v: ValueId) {
        let node = self.graph.node(v);
        match &node.op {
            Op::Constant(_) => {}
            Op::Compare(_) if self.is_signs[v.index()] => {}
            Op::Conv(_) | Op::ConvTranspose(_) if self.has_known_weights(v) => {
                let after = Chain {
                    bias: node.operands.get(2).and_then(|&b| self.known(b)),
                    ..Chain::default()
                };
                let (head, input) = (Head::Conv(v), node.operands[0]);
                self.open(head, input, after, v);
            }
            _ => {
                let links = self.links(v);
                if links.is_empty() && is_elementwise(&node.op) {
                    self.is_block[v.index()] = true;
                } else if links.is_empty() {
                    let input = node.operands.first().copied().unwrap_or(v);
                    self.open(Head::Single(v), input, Chain::default(), v);
                } else if !links.iter().any(|(x, link)| self.attach(*x, link, v)) {
                    if self.is_sum_of_block(v) {
                        self.is_block[v.index()] = true;
                        return;
                    }
                    let (x, link) = &links[0];
                    let mut chain = Chain::default();
                    chain.push(link);
                    self.open(Head::Map, *x, chain, v);
                }
            }
        }
    }

    /// Whether `v` is a sum beside elementwise operators that are no links of chains.
    fn is_sum_of_block(&self, v: ValueId) -> bool {
        let node = self.graph.node(v);
        let in_block = |x: &ValueId| self.is_block[x.index()];
        let joins = |c: &ValueId| {
            let op = &self.graph.node(*c).op;
            is_elementwise(op) && !self.is_signs[c.index()] && self.links(*c).is_empty()
        };
        let is_sum = matches!(node.op, Op::Binary(Binary::Add));
        is_sum
            && (node.operands.iter().any(in_block) || self.consumers[v.index()].iter().any(joins))
    }

    fn form_blocks(&mut self) {
        let blocks = Blocks::new(self.graph, &self.is_block, &self.consumers).form();
        for (value, nodes) in blocks {
            let lone = nodes.len() == 1 && matches!(self.graph.node(value).op, Op::Compare(_));
            let head = if lone {
                Head::Single(value)
            } else {
                Head::Block
            };
            let input = self.graph.node(nodes[0]).operands[0];
            self.open(head, input, Chain::default(), value);
            if let Some(Some(group)) = self.groups.last_mut() {
                group.nodes = nodes;
            }
        }
    }

    fn open(&mut self, head: Head, input: ValueId, after: Chain, value: ValueId) {
        self.group_of[value.index()] = Some(self.groups.len());
        self.groups.push(Some(Group {
            head,
            input,
            before: Chain::default(),
            after,
            nodes: Vec::new(),
            value,
        }));
    }

    /// Appends a link to the group that `x` comes out of, if nothing else needs `x`.
    fn attach(&mut self, x: ValueId, link: &Link, v: ValueId) -> bool {
        let Some(index) = self.group_of[x.index()] else {
            return false;
        };
        let Some(group) = &mut self.groups[index] else {
            return false;
        };
        let alone = self.uses[x.index()] == 1 && !matches!(group.head, Head::Single(_));
        if !alone || !group.after.push(link) {
            return false;
        }
        group.value = v;
        self.group_of[x.index()] = None;
        self.group_of[v.index()] = Some(index);
        true
    }

    /// The ways to see a node as an operand and a link.
    fn links(&self, v: ValueId) -> Vec<(ValueId, Link)> {
        let node = self.graph.node(v);
        if !is_batch_first(&node.ty.shape) || node.ty.dtype != DType::Float {
            return Vec::new();
        }
        match (&node.op, &node.operands[..]) {
            (Op::Relu, &[x]) => vec![(x, Link::Relu(self.signs_of[v.index()]))],
            (Op::BatchNorm(norm), &[x, ..]) if node.ty.shape.rank() > 2 => {
                let affine = self.affine(norm, &node.operands[1..]);
                affine.map(|link| (x, link)).into_iter().collect()
            }
            (Op::Where, &[mask, x, _]) if self.is_signs[mask.index()] => {
                vec![(x, Link::Keep(mask))]
            }
            (Op::Binary(Binary::Add), &[a, b]) if self.are_alike(a, b) => {
                // Rather onto what comes later: it must wait for the other anyway.
                let [early, late] = if a < b { [a, b] } else { [b, a] };
                vec![(late, Link::Add(early)), (early, Link::Add(late))]
            }
            _ => Vec::new(),
        }
    }

    fn are_alike(&self, a: ValueId, b: ValueId) -> bool {
        let same = self.graph.ty(a) == self.graph.ty(b);
        same && self.is_variable(a) && self.is_variable(b)
    }

    fn known(&self, v: ValueId) -> Option<Vec<f32>> {
        self.graph.constant_value(v).map(|t| t.data().to_vec())
    }

    fn has_known_weights(&self, v: ValueId) -> bool {
        let node = self.graph.node(v);
        let known = |x: &ValueId| self.graph.constant_value(*x).is_some();
        let shape = &node.ty.shape;
        let batched = is_batch_first(shape) && is_batch_first(self.graph.shape(node.operands[0]));
        batched && shape.rank() <= 4 && node.operands[1..].iter().all(known)
    }

    /// A batch normalisation as factor and addend.
    fn affine(&self, norm: &op::BatchNorm, parameters: &[ValueId]) -> Option<Link> {
        let known = |i: usize| self.graph.constant_value(parameters[i]).map(|t| t.data());
        let (scale, shift, mean, var) = (known(0)?, known(1)?, known(2)?, known(3)?);
        let channel = |c: usize| {
            let [scale, shift, mean, var] = [scale, shift, mean, var].map(|p| f64::from(p[c]));
            let factor = scale / (var + f64::from(norm.epsilon)).sqrt();
            (factor as f32, (shift - mean * factor) as f32)
        };
        let (factors, addends) = (0..scale.len()).map(channel).unzip();
        Some(Link::Affine(factors, addends))
    }

    /// Moves an activation that only one convolution of single elements reads into it: it is
    /// computed while the elements are copied.
    fn join_activations(&mut self) {
        for index in 0..self.groups.len() {
            let Some(group) = &self.groups[index] else {
                continue;
            };
            let Head::Conv(conv) = group.head else {
                continue;
            };
            let input = group.input;
            let Some(earlier) = self.group_of[input.index()] else {
                continue;
            };
            let alone = self.uses[input.index()] == 1 && self.is_single_element(conv);
            let is_map = |g: &Group| g.head == Head::Map && g.after.is_alone();
            if !alone || !self.groups[earlier].as_ref().is_some_and(is_map) {
                continue;
            }
            let (earlier, now) = (self.groups[earlier].take(), &mut self.groups[index]);
            if let (Some(earlier), Some(now)) = (earlier, now) {
                now.before = earlier.after;
                now.input = earlier.input;
            }
        }
    }

    fn is_single_element(&self, conv: ValueId) -> bool {
        let node = self.graph.node(conv);
        let Op::Conv(op::Conv { window, groups }) = &node.op else {
            return false;
        };
        let extents = |v: ValueId| self.graph.shape(v).at(1)[2..].to_vec();
        let (x, y) = (extents(node.operands[0]), extents(conv));
        meets_itself(window, *groups, &x, &y)
    }
}
