//! The verifier of graph invariants.

use crate::graph::invalid_node;
use crate::infer::infer;
use crate::{Error, ErrorKind, Graph, Type};

/// Checks that every node comes after its operands, that its operands fit its operator, that its
/// recorded type is the inferred one, and that the names of inputs and outputs are unique.
///
/// Graphs built by [`Graph::add`] are valid by construction; passes verify their results in debug
/// builds and tests.
///
/// # Errors
/// The first violation, with the node.
pub fn verify(graph: &Graph) -> Result<(), Error> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidGraph, message));
    for value in graph.values() {
        let node = graph.node(value);
        if let Some(operand) = node.operands.iter().find(|v| **v >= value) {
            let place = graph.describe(value);
            return invalid(format!("{place}: operand {operand} is computed later"));
        }
        let types: Vec<&Type> = node.operands.iter().map(|&v| graph.ty(v)).collect();
        let ty = infer(&node.op, &types)
            .map_err(|reason| invalid_node(&node.origin, &node.op, &types, &reason))?;
        if ty != node.ty {
            let place = graph.describe(value);
            return invalid(format!("{place}: recorded as {}, inferred {ty}", node.ty));
        }
    }
    let inputs: Vec<&str> = graph.inputs().map(|(_, i)| i.name.as_str()).collect();
    let outputs: Vec<&str> = graph.outputs().iter().map(|o| o.name.as_str()).collect();
    for (names, what) in [(inputs, "inputs"), (outputs, "outputs")] {
        let mut sorted = names.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return invalid(format!("there are two {what} named {:?}", pair[0]));
        }
    }
    match graph
        .outputs()
        .iter()
        .find(|o| o.value.index() >= graph.nodes().len())
    {
        Some(output) => invalid(format!("output {:?} has no value", output.name)),
        None => Ok(()),
    }
}
