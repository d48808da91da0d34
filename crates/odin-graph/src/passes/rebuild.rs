//! What passes are written with.

use crate::{Error, Graph, Node, ValueId, verify};

/// Copies a graph node by node. `step` receives the new graph, the old value, and its node with
/// operands renumbered, and returns the value that replaces it; `None` removes it.
pub(super) fn rebuild(
    graph: &Graph,
    mut step: impl FnMut(&mut Graph, ValueId, Node) -> Result<Option<ValueId>, Error>,
) -> Result<Graph, Error> {
    let mut new = Graph::with_budget(graph.budget());
    let mut renumbered: Vec<Option<ValueId>> = vec![None; graph.nodes().len()];
    for value in graph.values() {
        let mut node = graph.node(value).clone();
        let operands = node.operands.iter().map(|v| renumbered[v.index()]);
        if let Some(operands) = operands.collect() {
            node.operands = operands;
            new.at(node.origin.clone());
            renumbered[value.index()] = step(&mut new, value, node)?;
        }
    }
    for output in graph.outputs() {
        if let Some(value) = renumbered[output.value.index()] {
            new.output(output.name.clone(), value);
        }
    }
    if cfg!(debug_assertions) {
        verify(&new)?;
    }
    Ok(new)
}

/// How often each value is read, as an operand or an output.
pub(super) fn count_uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes().len()];
    let operands = graph.nodes().iter().flat_map(|node| &node.operands);
    for value in operands.chain(graph.outputs().iter().map(|o| &o.value)) {
        uses[value.index()] += 1;
    }
    uses
}
