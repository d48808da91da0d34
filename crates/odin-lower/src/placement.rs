//! Placement: the operands of a concatenation are computed inside of its result.

use crate::View;
use odin_graph::{DType, Graph, Op, ValueId};

/// Which values are computed inside of which others.
#[derive(Debug, Clone)]
pub struct Placement<'a> {
    graph: &'a Graph,
    views: &'a [View],
    /// For each value, the value that contains it, and the offset in that; itself if none does.
    inside: Vec<(ValueId, usize)>,
}

impl<'a> Placement<'a> {
    /// Every value by itself. `views` are those of [`contiguous_views`](crate::contiguous_views).
    pub fn new(graph: &'a Graph, views: &'a [View]) -> Self {
        Self {
            graph,
            views,
            inside: graph.values().map(|v| (v, 0)).collect(),
        }
    }

    /// Lets the operands of a concatenation be computed inside of its result, where each is one
    /// contiguous part of it and `is_computed` by a step. Later concatenations come first.
    pub fn place_operands_of(&mut self, concat: ValueId, is_computed: impl Fn(ValueId) -> bool) {
        let node = self.graph.node(concat);
        let Op::Concat(along) = &node.op else { return };
        let extents = self.graph.shape(concat).at(1);
        if extents[..along.axis].iter().product::<usize>() != 1 || node.ty.dtype != DType::Float {
            return;
        }
        let mut offset = 0;
        for &part in &node.operands {
            let view = self.views[part.index()];
            let whole = self.views[view.root.index()];
            let is_constant = matches!(self.graph.node(view.root).op, Op::Constant(_));
            let is_value = !is_constant && is_computed(view.root);
            if is_value && self.is_free(view.root) && view == whole && view.root != concat {
                self.place(view.root, concat, offset);
            }
            offset += view.len;
        }
    }

    /// Lets a value be computed inside of another.
    pub fn place(&mut self, value: ValueId, inside: ValueId, offset: usize) {
        self.inside[value.index()] = (inside, offset);
    }

    /// Whether a value is computed inside of no other.
    pub fn is_free(&self, value: ValueId) -> bool {
        self.inside[value.index()] == (value, 0)
    }

    /// The outermost value that contains a view, as a view of that.
    pub fn resolve(&self, view: View) -> View {
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

    /// As [`Placement::resolve`], of a value.
    pub fn of(&self, v: ValueId) -> View {
        self.resolve(self.views[v.index()])
    }

    /// Whether an operand of a concatenation is computed inside of its result.
    pub fn is_inside(&self, part: ValueId, of: ValueId, offset: usize) -> bool {
        let (part, of) = (self.of(part), self.of(of));
        part.root == of.root && part.offset == of.offset + offset
    }
}
