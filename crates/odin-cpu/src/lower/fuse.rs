//! Operator fusion: convolutions with the normalisation, activation and addition after them, and
//! 1x1 convolutions with the activation before them; such chains alone; and elementwise operators,
//! see [`odin_lower::ElementwiseFusion`].

use super::chain::{Chain, Link};
use super::fused_elementwise::is_elementwise;
use super::group::{Group, Head};
use crate::kernels::conv::op::is_pointwise;
use odin_graph::op::{Binary, Compare, Unary};
use odin_graph::{DType, Graph, Op, ValueId, op};
use odin_lower::{ElementwiseFusion, is_batch_first};

/// The fusion groups of all nodes that an output depends on, in the order of their results.
pub(crate) fn groups(graph: &Graph) -> Vec<Group> {
    let mut fusion = Fusion::new(graph);
    for v in graph.values() {
        if fusion.needed[v.index()] {
            fusion.visit(v);
        }
    }
    fusion.fuse_prologues();
    fusion.fuse_elementwise();
    let mut groups: Vec<Group> = fusion.groups.into_iter().flatten().collect();
    groups.sort_by_key(|group| group.value);
    groups
}

/// Fusion in progress. Each table has one entry per value.
struct Fusion<'a> {
    graph: &'a Graph,
    /// Whether an output depends on it.
    needed: Vec<bool>,
    /// How often it is read, as an output or operand.
    uses: Vec<usize>,
    /// The needed nodes that read it.
    consumers: Vec<Vec<ValueId>>,
    /// Of a ReLU, the comparison of it with 0 that only masks gradients.
    signs_of: Vec<Option<ValueId>>,
    /// Whether it is such a comparison, saved as sign bits; or one of a clip in an epilogue with its
    /// bounds.
    is_signs: Vec<bool>,
    /// Whether it is the second comparison of such a clip: what it masks is masked by the sign bits of
    /// both already.
    is_second: Vec<bool>,
    /// Whether it is to be fused with other elementwise operators.
    is_elementwise: Vec<bool>,
    groups: Vec<Option<Group>>,
    /// The group whose result it is.
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
            is_second: vec![false; n],
            is_elementwise: vec![false; n],
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
            if fusion.only_masks(v) && fusion.signs_of[relu.index()].is_none() {
                fusion.signs_of[relu.index()] = Some(v);
                fusion.is_signs[v.index()] = true;
                fusion.uses[relu.index()] -= 1;
            }
        }
        fusion
    }

    /// Whether all that is done with a comparison is to mask other values.
    fn only_masks(&self, v: ValueId) -> bool {
        let own = &self.consumers[v.index()];
        let all_read = own.len() == self.uses[v.index()];
        all_read && own.iter().all(|&c| self.masked_by(c) == Some(v))
    }

    /// The comparisons of a clip with its lower and its upper bound, of which the second masks what the
    /// first has masked and nothing else reads, so that one mask serves for both.
    fn clip_masks(&self, clip: ValueId, bounds: [f32; 2]) -> Option<[ValueId; 2]> {
        let is_bound = |v: ValueId, bound: f32| {
            let value = self.graph.constant_value(v);
            value.is_some_and(|t| t.data() == [bound])
        };
        let compares = |v: ValueId, second: bool| {
            let node = self.graph.node(v);
            match (&node.op, &node.operands[..]) {
                (Op::Compare(Compare::Greater), &[x, bound]) if !second => {
                    x == clip && is_bound(bound, bounds[0])
                }
                (Op::Compare(Compare::Greater), &[bound, x]) if second => {
                    x == clip && is_bound(bound, bounds[1])
                }
                _ => false,
            }
        };
        let own = &self.consumers[clip.index()];
        let find = |second: bool| {
            let found = own.iter().find(|&&c| compares(c, second));
            found.copied().filter(|&mask| self.only_masks(mask))
        };
        let (above, below) = (find(false)?, find(true)?);
        let [first, last] = [above, below].map(|mask| &self.consumers[mask.index()]);
        let is_masked_again = |v: &ValueId| match self.consumers[v.index()][..] {
            [next] => self.uses[v.index()] == 1 && self.masked_by(next) == Some(below),
            _ => false,
        };
        let paired = first.len() == last.len() && first.iter().all(is_masked_again);
        paired.then_some([above, below])
    }

    /// The masks of a clip that has joined an epilogue are its sign bits.
    fn save_clip_signs(&mut self, v: ValueId) {
        let Op::Unary(Unary::Clip { min, max }) = self.graph.node(v).op else {
            return;
        };
        if let Some([above, below]) = self.clip_masks(v, [min, max]) {
            self.is_signs[above.index()] = true;
            self.is_signs[below.index()] = true;
            self.is_second[below.index()] = true;
            self.uses[v.index()] -= 2;
        }
    }

    fn is_zero(&self, v: ValueId) -> bool {
        let value = self.graph.constant_value(v);
        value.is_some_and(|t| t.data() == [0.0])
    }

    /// The ReLU that `v` compares with 0.
    fn compared_relu(&self, v: ValueId) -> Option<ValueId> {
        let node = self.graph.node(v);
        let (Op::Compare(Compare::Greater), [x, zero]) = (&node.op, &node.operands[..]) else {
            return None;
        };
        let relu = matches!(self.graph.node(*x).op, Op::Relu);
        let batched = is_batch_first(self.graph.shape(*x));
        (relu && batched && self.is_zero(*zero)).then_some(*x)
    }

    /// The mask, if `v` is another value where the mask holds and 0 elsewhere.
    fn masked_by(&self, v: ValueId) -> Option<ValueId> {
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
            Op::Conv(_) | Op::ConvTranspose(_) if self.has_constant_weights(v) => {
                let epilogue = Chain {
                    bias: node.operands.get(2).and_then(|&b| self.constant(b)),
                    ..Chain::default()
                };
                let (head, input) = (Head::Conv(v), node.operands[0]);
                self.open(head, input, epilogue, v);
            }
            _ => {
                let links = self.links(v);
                if links.is_empty() && is_elementwise(&node.op) {
                    self.is_elementwise[v.index()] = true;
                } else if links.is_empty() {
                    let input = node.operands.first().copied().unwrap_or(v);
                    self.open(Head::Single(v), input, Chain::default(), v);
                } else if links.iter().any(|(x, link)| self.attach(*x, link, v)) {
                    self.save_clip_signs(v);
                } else {
                    if self.joins_elementwise(v) {
                        self.is_elementwise[v.index()] = true;
                        return;
                    }
                    let (x, link) = &links[0];
                    let mut chain = Chain::default();
                    chain.push(link);
                    self.open(Head::Identity, *x, chain, v);
                }
            }
        }
    }

    /// Whether `v` is a clip, or a sum that reads, or is read by, elementwise operators outside of
    /// chains.
    fn joins_elementwise(&self, v: ValueId) -> bool {
        let node = self.graph.node(v);
        let operand_is_fused = |x: &ValueId| self.is_elementwise[x.index()];
        let joins = |c: &ValueId| {
            let op = &self.graph.node(*c).op;
            is_elementwise(op) && !self.is_signs[c.index()] && self.links(*c).is_empty()
        };
        let is_clip = matches!(node.op, Op::Unary(_));
        let is_sum = matches!(node.op, Op::Binary(Binary::Add));
        is_clip
            || is_sum
                && (node.operands.iter().any(operand_is_fused)
                    || self.consumers[v.index()].iter().any(joins))
    }

    fn fuse_elementwise(&mut self) {
        let blocks =
            ElementwiseFusion::new(self.graph, &self.is_elementwise, &self.consumers).form();
        for (value, nodes) in blocks {
            let lone = nodes.len() == 1 && matches!(self.graph.node(value).op, Op::Compare(_));
            let head = if lone {
                Head::Single(value)
            } else {
                Head::Elementwise
            };
            let input = self.graph.node(nodes[0]).operands[0];
            self.open(head, input, Chain::default(), value);
            if let Some(Some(group)) = self.groups.last_mut() {
                group.nodes = nodes;
            }
        }
    }

    fn open(&mut self, head: Head, input: ValueId, epilogue: Chain, value: ValueId) {
        self.group_of[value.index()] = Some(self.groups.len());
        self.groups.push(Some(Group {
            head,
            input,
            prologue: Chain::default(),
            epilogue,
            nodes: Vec::new(),
            factors: Vec::new(),
            value,
        }));
    }

    /// Appends a link to the epilogue of the group whose result is `x`, if `v` is the only reader
    /// of `x`.
    fn attach(&mut self, x: ValueId, link: &Link, v: ValueId) -> bool {
        let Some(index) = self.group_of[x.index()] else {
            return false;
        };
        let Some(group) = &mut self.groups[index] else {
            return false;
        };
        let alone = self.uses[x.index()] == 1 && !matches!(group.head, Head::Single(_));
        if !alone || !group.epilogue.push(link) {
            return false;
        }
        group.value = v;
        self.group_of[x.index()] = None;
        self.group_of[v.index()] = Some(index);
        true
    }

    /// The ways to split a node into an operand and a link applied to it.
    fn links(&self, v: ValueId) -> Vec<(ValueId, Link)> {
        let node = self.graph.node(v);
        if !is_batch_first(&node.ty.shape) || node.ty.dtype != DType::Float {
            return Vec::new();
        }
        match (&node.op, &node.operands[..]) {
            (Op::Relu, &[x]) => vec![(x, Link::Relu(self.signs_of[v.index()]))],
            (&Op::Unary(Unary::Clip { min, max }), &[x]) => {
                let masks = self.clip_masks(v, [min, max]);
                let link = Link::Clip([min, max], masks.map(|[above, _]| above));
                vec![(x, link)]
            }
            (Op::BatchNorm(norm), &[x, ..]) if node.ty.shape.rank() > 2 => {
                let affine = self.affine(norm, &node.operands[1..]);
                affine.map(|link| (x, link)).into_iter().collect()
            }
            (Op::Where, &[mask, x, _]) if self.is_second[mask.index()] => vec![(x, Link::Masked)],
            (Op::Where, &[mask, x, _]) if self.is_signs[mask.index()] => {
                vec![(x, Link::Mask(mask))]
            }
            (Op::Binary(Binary::Add), &[a, b]) if self.are_alike(a, b) => {
                // Preferably onto the later operand: the sum must wait for it anyway.
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

    fn constant(&self, v: ValueId) -> Option<Vec<f32>> {
        self.graph.constant_value(v).map(|t| t.data().to_vec())
    }

    fn has_constant_weights(&self, v: ValueId) -> bool {
        let node = self.graph.node(v);
        let constant = |x: &ValueId| self.graph.constant_value(*x).is_some();
        let shape = &node.ty.shape;
        let batched = is_batch_first(shape) && is_batch_first(self.graph.shape(node.operands[0]));
        batched && shape.rank() <= 4 && node.operands[1..].iter().all(constant)
    }

    /// A batch normalisation as scale and shift.
    fn affine(&self, norm: &op::BatchNorm, parameters: &[ValueId]) -> Option<Link> {
        let constant = |i: usize| self.graph.constant_value(parameters[i]).map(|t| t.data());
        let (scale, shift, mean, var) = (constant(0)?, constant(1)?, constant(2)?, constant(3)?);
        let channel = |c: usize| {
            let [scale, shift, mean, var] = [scale, shift, mean, var].map(|p| f64::from(p[c]));
            let factor = scale / (var + f64::from(norm.epsilon)).sqrt();
            (factor as f32, (shift - mean * factor) as f32)
        };
        let (factors, addends) = (0..scale.len()).map(channel).unzip();
        Some(Link::Affine(factors, addends))
    }

    /// Makes a chain that only one 1x1 convolution reads that convolution's prologue, applied while
    /// the input is packed.
    fn fuse_prologues(&mut self) {
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
            let alone = self.uses[input.index()] == 1 && self.is_pointwise_conv(conv);
            let is_map = |g: &Group| g.head == Head::Identity && g.epilogue.is_unary();
            if !alone || !self.groups[earlier].as_ref().is_some_and(is_map) {
                continue;
            }
            let (earlier, now) = (self.groups[earlier].take(), &mut self.groups[index]);
            if let (Some(earlier), Some(now)) = (earlier, now) {
                now.prologue = earlier.epilogue;
                now.input = earlier.input;
            }
        }
    }

    fn is_pointwise_conv(&self, conv: ValueId) -> bool {
        let node = self.graph.node(conv);
        let Op::Conv(op::Conv { window, groups }) = &node.op else {
            return false;
        };
        let extents = |v: ValueId| self.graph.shape(v).at(1)[2..].to_vec();
        let (x, y) = (extents(node.operands[0]), extents(conv));
        is_pointwise(window, *groups, &x, &y)
    }
}
