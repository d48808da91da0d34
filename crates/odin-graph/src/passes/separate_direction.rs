//! Separation of the direction from what is scored.

use crate::{Error, Graph, Node, Op, ValueId, verify};

/// Computes apart what both a sign and an output read: [`Graph::direction`] then has all that signs
/// read, whatever the outputs are. Of ODIN with the logits of the images among its outputs, the first
/// forward pass is computed twice: once for the gradient, once for them. Graphs without signs, such as
/// a forward pass with its predicted class, stay as they are.
///
/// # Errors
/// If the graph is not well formed.
pub fn separate_direction(graph: &Graph) -> Result<Graph, Error> {
    let scored = graph.needed_exactly();
    let signs = graph
        .values()
        .filter(|&v| scored[v.index()] && graph.is_sign(v));
    let read = signs.flat_map(|v| graph.node(v).operands.iter().copied());
    let decides = graph.needed_for(read.collect::<Vec<ValueId>>());
    let needed = graph.needed_for_outputs();

    let mut new = Graph::with_budget(graph.budget());
    let mut for_scores: Vec<Option<ValueId>> = vec![None; graph.nodes().len()];
    let mut for_direction = for_scores.clone();
    for value in graph.values() {
        let (i, node) = (value.index(), graph.node(value));
        let is_leaf = matches!(node.op, Op::Input(_) | Op::Constant(_));
        if is_leaf && (needed[i] || matches!(node.op, Op::Input(_))) {
            for_scores[i] = Some(new.at(node.origin.clone()).add(node.op.clone(), &[])?);
            for_direction[i] = for_scores[i];
            continue;
        }
        if decides[i] {
            for_direction[i] = Some(copy(&mut new, node, &for_direction)?);
        }
        if scored[i] {
            let is_arg_max = matches!(node.op, Op::ArgMax(_));
            for_scores[i] = match for_direction[i].filter(|_| is_arg_max || graph.is_sign(value)) {
                Some(decided) => Some(decided),
                None if graph.is_sign(value) => Some(copy(&mut new, node, &for_direction)?),
                None => Some(copy(&mut new, node, &for_scores)?),
            };
        }
    }
    for output in graph.outputs() {
        if let Some(value) = for_scores[output.value.index()] {
            new.output(output.name.clone(), value);
        }
    }
    if cfg!(debug_assertions) {
        verify(&new)?;
    }
    Ok(new)
}

/// Adds a node with operands renumbered.
fn copy(new: &mut Graph, node: &Node, values: &[Option<ValueId>]) -> Result<ValueId, Error> {
    let operands = node.operands.iter().filter_map(|v| values[v.index()]);
    let operands: Vec<ValueId> = operands.collect();
    new.at(node.origin.clone()).add(node.op.clone(), &operands)
}
