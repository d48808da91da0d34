//! Where values lie. A value may be a part of another: a concatenation is nothing but a place in
//! which its parts are computed, and a sum may be formed where one of its terms lies. All others
//! share memory if one is over before the other begins.

use super::blocks::leaves;
use super::fuse::{Group, Head};
use super::views::View;
use crate::pointwise::sign_bytes;
use crate::simd::LONGEST;
use crate::workspace::{Place, Sizes};
use odin_graph::{DType, Graph, Op, ValueId};
use std::ops::Range;

/// Where every value is computed, as a part of which other.
pub(crate) struct Storage<'a> {
    graph: &'a Graph,
    views: &'a [View],
    /// For each value, the value that it is computed in, and where in it; itself at first.
    inside: Vec<(ValueId, usize)>,
}

/// What a step reads or writes, in time.
struct Access {
    step: usize,
    view: View,
}

impl<'a> Storage<'a> {
    /// Decides which values are computed inside of others. Gives, besides, for each group whether
    /// its sum is formed in place.
    pub(crate) fn new(graph: &'a Graph, views: &'a [View], groups: &[Group]) -> (Self, Vec<bool>) {
        let mut storage = Self {
            graph,
            views,
            inside: graph.values().map(|v| (v, 0)).collect(),
        };
        for group in groups.iter().rev() {
            if let Head::Single(v) = group.head {
                storage.embed_parts(v);
            }
        }
        let in_place = storage.sums_in_place(groups);
        (storage, in_place)
    }

    /// Places the parts of a concatenation that lie in one piece.
    fn embed_parts(&mut self, v: ValueId) {
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

    /// The value that a view is stored in, and where.
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

    /// Whether a part of a concatenation is there already.
    pub(crate) fn is_part(&self, part: ValueId, of: ValueId, offset: usize) -> bool {
        let (part, of) = (self.of(part), self.of(of));
        part.root == of.root && part.offset == of.offset + offset
    }

    /// A sum may take the place of a term that nothing needs afterwards.
    fn sums_in_place(&mut self, groups: &[Group]) -> Vec<bool> {
        let mut reads = Vec::new();
        for (step, group) in groups.iter().enumerate() {
            for x in operands(self.graph, group) {
                let view = self.views[x.index()];
                reads.push(Access { step, view });
            }
        }
        for output in self.graph.outputs() {
            let (step, view) = (usize::MAX, self.views[output.value.index()]);
            reads.push(Access { step, view });
        }
        let mut in_place = vec![false; groups.len()];
        for (step, group) in groups.iter().enumerate() {
            let Some(term) = group.after.addend else {
                continue;
            };
            let own = self.views[group.value.index()];
            let free = self.inside[own.root.index()] == (own.root, 0);
            let is_known = |v: ValueId| matches!(self.graph.node(v).op, Op::Constant(_));
            if !free || is_known(self.views[term.index()].root) {
                continue;
            }
            let place = self.of(term);
            // Once as the term itself.
            let now = reads.iter().filter(|access| access.step == step);
            let read_now = now.filter(|a| overlap(self.resolve(a.view), place)).count() > 1;
            let read_later = reads
                .iter()
                .any(|a| a.step > step && overlap(self.resolve(a.view), place));
            let written_later = groups[step + 1..]
                .iter()
                .any(|g| overlap(self.of(g.value), place));
            if place.len == own.len && !read_now && !read_later && !written_later {
                self.inside[own.root.index()] = (place.root, place.offset);
                in_place[step] = true;
            }
        }
        in_place
    }
}

fn overlap(a: View, b: View) -> bool {
    a.root == b.root && a.offset < b.offset + b.len && b.offset < a.offset + a.len
}

/// The values that a group reads, known ones and masks left out.
pub(super) fn operands(graph: &Graph, group: &Group) -> Vec<ValueId> {
    let all: Vec<ValueId> = match group.head {
        Head::Single(v) => graph.node(v).operands.clone(),
        Head::Block => leaves(graph, &group.nodes),
        Head::Move(_) => vec![group.input],
        Head::Conv(_) | Head::Map => [group.input]
            .into_iter()
            .chain(group.before.operands())
            .chain(group.after.operands())
            .collect(),
    };
    let is_value = |v: &ValueId| !matches!(graph.node(*v).op, Op::Constant(_));
    all.into_iter().filter(is_value).collect()
}

/// What the arenas hold, and when.
pub(crate) struct Places {
    floats: Vec<Option<Place>>,
    signs: Vec<Option<Place>>,
    pub(crate) sizes: Sizes,
}

impl Places {
    /// Gives every value that the groups compute, in their order, a place.
    pub(crate) fn new(graph: &Graph, storage: &Storage<'_>, groups: &[Group]) -> Self {
        let n = graph.nodes().len();
        let mut values: Vec<Option<Range<usize>>> = vec![None; n];
        let mut signs: Vec<Option<Range<usize>>> = vec![None; n];
        let extend = |life: &mut Option<Range<usize>>, step: usize| {
            let life = life.get_or_insert(step..step);
            (life.start, life.end) = (life.start.min(step), life.end.max(step));
        };
        for (step, group) in groups.iter().enumerate() {
            extend(&mut values[storage.of(group.value).root.index()], step);
            for save in [group.before.save, group.after.save].into_iter().flatten() {
                extend(&mut signs[save.index()], step);
            }
            for x in operands(graph, group) {
                let root = storage.of(x).root.index();
                match &mut signs[x.index()] {
                    Some(_) => extend(&mut signs[x.index()], step),
                    None => extend(&mut values[root], step),
                }
            }
        }
        for output in graph.outputs() {
            extend(
                &mut values[storage.of(output.value).root.index()],
                usize::MAX,
            );
        }

        let mut arenas = [(); 4].map(|()| Arena::default());
        let mut places = Self {
            floats: vec![None; n],
            signs: vec![None; n],
            sizes: Sizes::default(),
        };
        let mut order: Vec<ValueId> = graph.values().collect();
        let start = |life: &Option<Range<usize>>| life.as_ref().map_or(usize::MAX, |l| l.start);
        order.sort_by_key(|v| start(&values[v.index()]).min(start(&signs[v.index()])));
        for v in order {
            let ty = graph.ty(v);
            if let Some(life) = values[v.index()]
                .clone()
                .filter(|_| graph.constant_value(v).is_none())
            {
                let len = ty.shape.at(1).iter().product();
                let (arena, grain) = match ty.dtype {
                    DType::Float => (0, LONGEST),
                    DType::Int => (1, 1),
                    _ => (2, 1),
                };
                places.floats[v.index()] = Some(arenas[arena].take(life, len, grain));
            }
            if let Some(life) = signs[v.index()].clone() {
                let (channels, plane) = grid(graph, v);
                let len = channels * sign_bytes(plane);
                places.signs[v.index()] = Some(arenas[3].take(life, len, 8));
            }
        }
        let [floats, ints, masks, signs] = arenas.map(|arena| arena.len);
        places.sizes = Sizes {
            floats,
            ints,
            masks,
            signs,
            ..Sizes::default()
        };
        places
    }

    pub(crate) fn value(&self, view: View) -> Option<Place> {
        let root = self.floats[view.root.index()]?;
        let (offset, len) = (root.offset + view.offset, view.len);
        Some(Place { offset, len })
    }

    pub(crate) fn signs(&self, mask: ValueId) -> Option<Place> {
        self.signs[mask.index()]
    }
}

/// The channels of a value, and the elements of each, as far as [`crate::pointwise`] is concerned.
pub(crate) fn grid(graph: &Graph, v: ValueId) -> (usize, usize) {
    match graph.shape(v).at(1)[..] {
        [_, channels, ref rest @ ..] if !rest.is_empty() => (channels, rest.iter().product()),
        ref all => (1, all.iter().product()),
    }
}

/// Places of one kind: each is the lowest that is free for as long as it is needed.
#[derive(Default)]
struct Arena {
    taken: Vec<(Range<usize>, Place)>,
    len: usize,
}

impl Arena {
    /// `life` includes its end.
    fn take(&mut self, life: Range<usize>, len: usize, grain: usize) -> Place {
        self.taken.retain(|(other, _)| other.end >= life.start);
        self.taken.sort_by_key(|(_, place)| place.offset);
        let mut offset = 0;
        for (_, place) in &self.taken {
            if place.offset >= offset + len {
                break;
            }
            offset = offset.max((place.offset + place.len).next_multiple_of(grain));
        }
        let place = Place { offset, len };
        self.len = self.len.max((offset + len).next_multiple_of(grain));
        self.taken.push((life, place));
        place
    }
}
