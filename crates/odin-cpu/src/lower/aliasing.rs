//! Aliasing: operands of concatenations are computed inside of the result, and sums may overwrite an
//! addend.

use super::group::{Group, Head};
use super::view::View;
use odin_graph::{DType, Graph, Op, ValueId};

/// Which values are computed inside of which others.
pub(crate) struct Aliasing<'a> {
    graph: &'a Graph,
    views: &'a [View],
    /// For each value, the value that contains it, and the offset in that; itself if none does.
    inside: Vec<(ValueId, usize)>,
}

/// A read of a step.
struct Read {
    step: usize,
    view: View,
}

impl<'a> Aliasing<'a> {
    /// Decides which values alias others; and, for each group, whether it adds in place.
    pub(crate) fn new(graph: &'a Graph, views: &'a [View], groups: &[Group]) -> (Self, Vec<bool>) {
        let mut aliasing = Self {
            graph,
            views,
            inside: graph.values().map(|v| (v, 0)).collect(),
        };
        for group in groups.iter().rev() {
            if let Head::Single(v) = group.head {
                aliasing.alias_concat_operands(v);
            }
        }
        let in_place = aliasing.alias_sums(groups);
        (aliasing, in_place)
    }

    /// Lets the operands of a concatenation be computed inside of its result, where each is one
    /// contiguous part of it.
    fn alias_concat_operands(&mut self, v: ValueId) {
        let node = self.graph.node(v);
        let Op::Concat(concat) = &node.op else { return };
        let extents = self.graph.shape(v).at(1);
        if extents[..concat.axis].iter().product::<usize>() != 1 || node.ty.dtype != DType::Float {
            return;
        }
        let mut offset = 0;
        for &part in &node.operands {
            let view = self.views[part.index()];
            let whole = self.views[view.root.index()];
            let is_value = !matches!(self.graph.node(view.root).op, Op::Constant(_));
            let free = self.inside[view.root.index()] == (view.root, 0);
            if is_value && free && view == whole && view.root != v {
                self.inside[view.root.index()] = (v, offset);
            }
            offset += view.len;
        }
    }

    /// The outermost value that contains a view, as a view of that.
    pub(crate) fn resolve(&self, view: View) -> View {
        let (mut root, mut offset) = (view.root, view.offset);
        loop {
            let (outer, at) = self.inside[root.index()];
            if outer == root {
                let len = view.len;
                return View { root, offset, len };
            }
            (root, offset) = (outer, offset + at);
        }
    }

    pub(crate) fn of(&self, v: ValueId) -> View {
        self.resolve(self.views[v.index()])
    }

    /// Whether an operand of a concatenation is computed inside of its result.
    pub(crate) fn is_inside(&self, part: ValueId, of: ValueId, offset: usize) -> bool {
        let (part, of) = (self.of(part), self.of(of));
        part.root == of.root && part.offset == of.offset + offset
    }

    /// Lets a sum overwrite its addend where no other step reads that afterwards.
    fn alias_sums(&mut self, groups: &[Group]) -> Vec<bool> {
        let mut reads = Vec::new();
        for (step, group) in groups.iter().enumerate() {
            for x in group.operands(self.graph) {
                let view = self.views[x.index()];
                reads.push(Read { step, view });
            }
        }
        for output in self.graph.outputs() {
            let (step, view) = (usize::MAX, self.views[output.value.index()]);
            reads.push(Read { step, view });
        }
        let mut in_place = vec![false; groups.len()];
        for (step, group) in groups.iter().enumerate() {
            let Some(term) = group.epilogue.addend else {
                continue;
            };
            let own = self.views[group.value.index()];
            let free = self.inside[own.root.index()] == (own.root, 0);
            let is_constant = |v: ValueId| matches!(self.graph.node(v).op, Op::Constant(_));
            if !free || is_constant(self.views[term.index()].root) {
                continue;
            }
            let target = self.of(term);
            let of_target = |read: &&Read| self.resolve(read.view).overlaps(target);
            let of_target = || reads.iter().filter(of_target);
            // Once as the addend itself.
            let read_now = of_target().filter(|read| read.step == step).count() > 1;
            let read_later = of_target().any(|read| read.step > step);
            let written_later = groups[step + 1..]
                .iter()
                .any(|g| self.of(g.value).overlaps(target));
            if target.len == own.len && !read_now && !read_later && !written_later {
                self.inside[own.root.index()] = (target.root, target.offset);
                in_place[step] = true;
            }
        }
        in_place
    }
}
