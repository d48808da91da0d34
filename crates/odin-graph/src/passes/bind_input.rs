//! The pass that replaces an input by another graph.

use super::rebuild::rebuild;
use crate::{Error, ErrorKind, Graph, ValueId};

/// Replaces an input by the only output of another graph, whose inputs take its place in the
/// signature: such as a preprocessing before a network.
///
/// # Errors
/// If there is no such input, if the source has not one output of the input's type, or if two
/// inputs would have one name.
pub fn bind_input(graph: &Graph, name: &str, source: &Graph) -> Result<Graph, Error> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidGraph, message));
    let Some((bound, _)) = graph.inputs().find(|(_, input)| input.name == name) else {
        return invalid(format!("the graph has no input {name:?}"));
    };
    let [output] = source.outputs() else {
        let count = source.outputs().len();
        return invalid(format!(
            "the source of {name:?} must have one output, it has {count}"
        ));
    };
    let (given, expected) = (source.ty(output.value), graph.ty(bound));
    if given != expected {
        return invalid(format!(
            "the input {name:?} is {expected}, its source {given}"
        ));
    }
    let others = graph.inputs().filter(|(value, _)| *value != bound);
    let mut others = others.map(|(_, input)| &input.name);
    if let Some(twice) = others.find(|name| source.inputs().any(|(_, i)| i.name == **name)) {
        return invalid(format!("there are two inputs named {twice:?}"));
    }
    rebuild(graph, |new, value, node| match value == bound {
        true => copy(new, source, output.value).map(Some),
        false => new.add(node.op, &node.operands).map(Some),
    })
}

/// Adds a copy of every node of `source`; returns the copy of `output`.
fn copy(new: &mut Graph, source: &Graph, output: ValueId) -> Result<ValueId, Error> {
    let mut copies: Vec<ValueId> = Vec::with_capacity(source.nodes().len());
    for node in source.nodes() {
        let operands: Vec<ValueId> = node.operands.iter().map(|v| copies[v.index()]).collect();
        new.at(node.origin.clone());
        copies.push(new.add(node.op.clone(), &operands)?);
    }
    Ok(copies[output.index()])
}
