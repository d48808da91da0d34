//! Chains of transpositions, slices, expansions and reshapes become one strided copy each, and none
//! where the result is a contiguous view.

use super::group::{Group, Head};
use odin_graph::Graph;
use odin_lower::{StridedView, View};

/// Lets each such operator read its strided view, and drops those that are contiguous views or
/// that no step reads any more.
pub(super) fn form(
    graph: &Graph,
    views: &[View],
    strided_views: &[StridedView],
    groups: Vec<Group>,
) -> Vec<Group> {
    let mut needed = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        needed[views[output.value.index()].root.index()] = true;
    }
    let mut kept = Vec::new();
    for mut group in groups.into_iter().rev() {
        if let Head::Single(v) = group.head {
            if views[v.index()].root != v {
                continue;
            }
            let base = strided_views[v.index()].base;
            if base != v {
                if !needed[v.index()] {
                    continue;
                }
                (group.head, group.input) = (Head::StridedCopy(v), base);
            }
        }
        for x in group.operands(graph) {
            needed[views[x.index()].root.index()] = true;
        }
        kept.push(group);
    }
    kept.reverse();
    kept
}
