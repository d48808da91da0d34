//! Memory planning: where in the arena each value lies.

use super::fusion::{Group, Kind, root};
use crate::shader::Place;
use odin_graph::{Graph, ValueId};
use odin_lower::{ArenaPlanner, Placement, Slot, StridedView, View};
use std::ops::Range;

/// Slots begin at multiples of this many words.
const GRAIN: usize = 4;

/// The slot of each value that is computed, per image.
pub(super) struct MemoryPlan<'a> {
    graph: &'a Graph,
    placement: Placement<'a>,
    slots: Vec<Option<Slot>>,
    /// The words of an image's values.
    pub(super) words: usize,
}

impl<'a> MemoryPlan<'a> {
    /// Assigns slots to inputs and to the results of groups, in their order, by first fit over live
    /// ranges.
    pub(super) fn new(
        graph: &'a Graph,
        strided: &[StridedView],
        views: &'a [View],
        groups: &[Group],
    ) -> Self {
        let mut placement = Placement::new(graph, views);
        // What is read by strides only is not computed.
        let mut is_computed: Vec<bool> = vec![false; graph.nodes().len()];
        for group in groups {
            is_computed[group.value.index()] = true;
        }
        for (input, _) in graph.inputs() {
            is_computed[input.index()] = true;
        }
        for group in groups.iter().rev() {
            if let Kind::Node(v) = group.kind {
                placement.place_operands_of(v, |root| is_computed[root.index()]);
            }
        }
        let mut live: Vec<Option<Range<usize>>> = vec![None; graph.nodes().len()];
        let mut extend = |v: ValueId, step: usize| {
            let root = placement.of(v).root;
            let range = live[root.index()].get_or_insert(step..step);
            (range.start, range.end) = (range.start.min(step), range.end.max(step));
        };
        for (input, _) in graph.inputs() {
            extend(input, 0);
        }
        for (step, group) in groups.iter().enumerate() {
            extend(group.value, step);
            for read in group.reads(graph) {
                extend(root(strided, views, &read), step);
            }
        }
        for output in graph.outputs() {
            extend(output.value, usize::MAX);
        }
        let mut order: Vec<(ValueId, Range<usize>)> = graph
            .values()
            .filter(|v| graph.constant_value(*v).is_none())
            .filter_map(|v| Some((v, live[v.index()].clone()?)))
            .collect();
        order.sort_by_key(|(_, range)| range.start);
        let mut arena = ArenaPlanner::default();
        let mut slots = vec![None; graph.nodes().len()];
        for (v, range) in order {
            let len = graph.shape(v).at(1).iter().product();
            slots[v.index()] = Some(arena.allocate(range, len, GRAIN));
        }
        Self {
            graph,
            placement,
            slots,
            words: arena.len(),
        }
    }

    /// The view of a value within what contains it.
    pub(super) fn of(&self, v: ValueId) -> View {
        self.placement.of(v)
    }

    /// Where the part of a value that begins at `offset` of a view lies; `None` for constants.
    pub(super) fn place(&self, view: View, offset: usize) -> Option<Place> {
        let slot = self.slots[view.root.index()]?;
        Some(Place {
            slot: slot.offset,
            stride: self.graph.shape(view.root).at(1).iter().product(),
            offset: view.offset + offset,
        })
    }

    /// Whether an operand of a concatenation is computed inside of its result.
    pub(super) fn is_inside(&self, part: ValueId, of: ValueId, offset: usize) -> bool {
        self.placement.is_inside(part, of, offset)
    }
}
