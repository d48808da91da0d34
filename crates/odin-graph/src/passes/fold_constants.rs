//! Constant folding.

use super::eliminate_dead_code;
use super::rebuild::rebuild;
use crate::{DType, Error, Graph, Node, Op, Tensor, Value, ValueId, interpret};

/// Evaluates what depends on no input, in f64 and rounded once, up to `max_elements` elements in
/// total. Values that are larger, or computed from larger ones, are not folded.
///
/// # Errors
/// If the graph is not well formed.
pub fn fold_constants(graph: &Graph, max_elements: usize) -> Result<Graph, Error> {
    let foldable = foldable(graph, max_elements);
    let used = used_by_others(graph, &foldable);
    let mut left = max_elements;
    let folded = rebuild(graph, |new, value, node| {
        let wanted = foldable[value.index()] && used[value.index()];
        let count = node
            .ty
            .shape
            .elements()
            .map_or(usize::MAX, |(count, _)| count);
        if wanted && node.ty.dtype == DType::Float && count <= left {
            left -= count;
            if let Some(tensor) = evaluate(new, &node)? {
                return new.constant(tensor).map(Some);
            }
        }
        new.add(node.op, &node.operands).map(Some)
    })?;
    eliminate_dead_code(&folded)
}

/// Whether a value is computed from constants only, without large intermediate values.
fn foldable(graph: &Graph, max_elements: usize) -> Vec<bool> {
    let mut foldable: Vec<bool> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let known = |operand: &ValueId| {
            foldable[operand.index()] || graph.constant_value(*operand).is_some()
        };
        let shape = node.ty.shape.as_fixed();
        let small = shape.is_some_and(|s| s.iter().product::<usize>() <= max_elements);
        let computed = !matches!(node.op, Op::Input(_) | Op::Constant(_));
        foldable.push(computed && small && node.operands.iter().all(known));
    }
    foldable
}

/// Whether a node that cannot be folded reads the value, or several nodes do, so that it is worth
/// storing.
fn used_by_others(graph: &Graph, foldable: &[bool]) -> Vec<bool> {
    let mut uses = vec![0usize; foldable.len()];
    for output in graph.outputs() {
        uses[output.value.index()] += 2;
    }
    for value in graph.values() {
        // Integers and masks cannot be stored as constants; their float operands can.
        let node = graph.node(value);
        let inside = foldable[value.index()] && node.ty.dtype == DType::Float;
        for operand in &node.operands {
            uses[operand.index()] += if inside { 1 } else { 2 };
        }
    }
    uses.into_iter().map(|uses| uses > 1).collect()
}

/// The value of a node whose operands in `graph` depend on no input.
fn evaluate(graph: &Graph, node: &Node) -> Result<Option<Tensor>, Error> {
    let mut alone = Graph::new();
    let mut copies: Vec<(ValueId, ValueId)> = Vec::new();
    for value in ancestors(graph, &node.operands) {
        let own = graph.node(value);
        let operands = copied(&copies, &own.operands);
        copies.push((value, alone.add(own.op.clone(), &operands)?));
    }
    let result = alone.add(node.op.clone(), &copied(&copies, &node.operands))?;
    alone.output("value", result);
    let results = interpret::<f64>(&alone, &[])?;
    let Some(Value::Float(array)) = results.first() else {
        return Ok(None);
    };
    let data: Vec<f32> = array.floats().iter().map(|&v| v as f32).collect();
    Tensor::new(array.shape().to_vec(), data).map(Some)
}

/// The values and everything that they depend on, in topological order.
fn ancestors(graph: &Graph, values: &[ValueId]) -> Vec<ValueId> {
    let mut found: Vec<ValueId> = Vec::new();
    let mut open = values.to_vec();
    while let Some(value) = open.pop() {
        if !found.contains(&value) {
            found.push(value);
            open.extend(&graph.node(value).operands);
        }
    }
    found.sort_unstable();
    found
}

fn copied(copies: &[(ValueId, ValueId)], operands: &[ValueId]) -> Vec<ValueId> {
    let find = |v: &ValueId| copies.iter().find(|(old, _)| old == v);
    let found = operands.iter().filter_map(find);
    found.map(|&(_, new)| new).collect()
}
