//! Aliasing: operands of concatenations are computed inside of the result, and sums may overwrite an
//! addend.

use super::group::{Group, Head};
use odin_graph::{Graph, Op, ValueId};
use odin_lower::{Placement, View};

/// A read of a step.
struct Read {
    step: usize,
    view: View,
}

/// Decides which values alias others; and, for each group, whether it adds in place.
pub(super) fn place<'a>(
    graph: &'a Graph,
    views: &'a [View],
    groups: &[Group],
) -> (Placement<'a>, Vec<bool>) {
    let mut placement = Placement::new(graph, views);
    for group in groups.iter().rev() {
        if let Head::Single(v) = group.head {
            placement.place_operands_of(v, |_| true);
        }
    }
    let in_place = alias_sums(graph, views, &mut placement, groups);
    (placement, in_place)
}

/// Lets a sum overwrite its addend where no other step reads that afterwards.
fn alias_sums(
    graph: &Graph,
    views: &[View],
    placement: &mut Placement<'_>,
    groups: &[Group],
) -> Vec<bool> {
    let mut reads = Vec::new();
    for (step, group) in groups.iter().enumerate() {
        for x in group.operands(graph) {
            let view = views[x.index()];
            reads.push(Read { step, view });
        }
    }
    for output in graph.outputs() {
        let (step, view) = (usize::MAX, views[output.value.index()]);
        reads.push(Read { step, view });
    }
    let mut in_place = vec![false; groups.len()];
    for (step, group) in groups.iter().enumerate() {
        let Some(term) = group.epilogue.addend else {
            continue;
        };
        let own = views[group.value.index()];
        let free = placement.is_free(own.root);
        let is_constant = |v: ValueId| matches!(graph.node(v).op, Op::Constant(_));
        if !free || is_constant(views[term.index()].root) {
            continue;
        }
        let target = placement.of(term);
        let of_target = |read: &&Read| placement.resolve(read.view).overlaps(target);
        let of_target = || reads.iter().filter(of_target);
        // Once as the addend itself.
        let read_now = of_target().filter(|read| read.step == step).count() > 1;
        let read_later = of_target().any(|read| read.step > step);
        let written_later = groups[step + 1..]
            .iter()
            .any(|g| placement.of(g.value).overlaps(target));
        if target.len == own.len && !read_now && !read_later && !written_later {
            placement.place(own.root, target.root, target.offset);
            in_place[step] = true;
        }
    }
    in_place
}
