//! Memory planning: slots of arenas for values, shared by values whose live ranges do not overlap.

use super::group::Group;
use crate::kernels::epilogue::sign_bytes;
use crate::memory::ArenaSizes;
use crate::simd::MAX_LANES;
use odin_graph::{DType, Graph, ValueId};
use odin_lower::{ArenaPlanner, Placement, Slot, View};
use std::ops::Range;

/// The slot of each value and of each mask saved as sign bits, in the arena of its type.
pub(crate) struct MemoryPlan {
    floats: Vec<Option<Slot>>,
    signs: Vec<Option<Slot>>,
    pub(crate) sizes: ArenaSizes,
}

impl MemoryPlan {
    /// Assigns a slot to each value that the groups compute, in their order, by first fit over live
    /// ranges.
    pub(crate) fn new(graph: &Graph, placement: &Placement<'_>, groups: &[Group]) -> Self {
        let n = graph.nodes().len();
        let mut values: Vec<Option<Range<usize>>> = vec![None; n];
        let mut signs: Vec<Option<Range<usize>>> = vec![None; n];
        let extend = |live_range: &mut Option<Range<usize>>, step: usize| {
            let live_range = live_range.get_or_insert(step..step);
            (live_range.start, live_range.end) =
                (live_range.start.min(step), live_range.end.max(step));
        };
        for (step, group) in groups.iter().enumerate() {
            extend(&mut values[placement.of(group.value).root.index()], step);
            for save in [group.prologue.saved_signs, group.epilogue.saved_signs]
                .into_iter()
                .flatten()
            {
                extend(&mut signs[save.index()], step);
            }
            for x in group.operands(graph) {
                let root = placement.of(x).root.index();
                match &mut signs[x.index()] {
                    Some(_) => extend(&mut signs[x.index()], step),
                    None => extend(&mut values[root], step),
                }
            }
        }
        for output in graph.outputs() {
            extend(
                &mut values[placement.of(output.value).root.index()],
                usize::MAX,
            );
        }

        let mut arenas = [(); 4].map(|()| ArenaPlanner::default());
        let mut plan = Self {
            floats: vec![None; n],
            signs: vec![None; n],
            sizes: ArenaSizes::default(),
        };
        let mut order: Vec<ValueId> = graph.values().collect();
        let start =
            |live_range: &Option<Range<usize>>| live_range.as_ref().map_or(usize::MAX, |l| l.start);
        order.sort_by_key(|v| start(&values[v.index()]).min(start(&signs[v.index()])));
        for v in order {
            let ty = graph.ty(v);
            if let Some(live_range) = values[v.index()]
                .clone()
                .filter(|_| graph.constant_value(v).is_none())
            {
                let len = ty.shape.at(1).iter().product();
                let (arena, grain) = match ty.dtype {
                    DType::Float => (0, MAX_LANES),
                    DType::Int => (1, 1),
                    _ => (2, 1),
                };
                plan.floats[v.index()] = Some(arenas[arena].allocate(live_range, len, grain));
            }
            if let Some(live_range) = signs[v.index()].clone() {
                let (channels, plane) = channels_and_plane(graph, v);
                let len = channels * sign_bytes(plane);
                plan.signs[v.index()] = Some(arenas[3].allocate(live_range, len, 8));
            }
        }
        let [floats, ints, masks, signs] = arenas.map(|arena| arena.len());
        plan.sizes = ArenaSizes {
            floats,
            ints,
            masks,
            signs,
            ..ArenaSizes::default()
        };
        plan
    }

    pub(crate) fn value(&self, view: View) -> Option<Slot> {
        let root = self.floats[view.root.index()]?;
        let (offset, len) = (root.offset + view.offset, view.len);
        Some(Slot { offset, len })
    }

    pub(crate) fn signs(&self, mask: ValueId) -> Option<Slot> {
        self.signs[mask.index()]
    }
}

/// The channels of a value and the elements per channel, as an epilogue sees them.
pub(crate) fn channels_and_plane(graph: &Graph, v: ValueId) -> (usize, usize) {
    match graph.shape(v).at(1)[..] {
        [_, channels, ref rest @ ..] if !rest.is_empty() => (channels, rest.iter().product()),
        ref all => (1, all.iter().product()),
    }
}
