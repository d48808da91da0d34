use super::eliminate_dead_code;
use super::rebuild::rebuild;
use crate::{DType, Error, Graph, Op, Tensor, Value, ValueId, interpret};

/// Computes now, in f64 and rounded once, every value that depends on no input. A value of more
/// than `max_elements` elements, or one that needs such a value, stays as it is.
///
/// # Errors
/// When the graph is not well formed.
pub fn fold_constants(graph: &Graph, max_elements: usize) -> Result<Graph, Error> {
    let foldable = foldable(graph, max_elements);
    let used = used_by_others(graph, &foldable);
    let folded = rebuild(graph, |new, value, node| {
        match foldable[value.index()] && used[value.index()] && node.ty.dtype == DType::Float {
            true => match evaluate(graph, value)? {
                Some(tensor) => new.constant(tensor).map(Some),
                None => new.add(node.op, &node.operands).map(Some),
            },
            false => new.add(node.op, &node.operands).map(Some),
        }
    })?;
    eliminate_dead_code(&folded)
}

/// Whether a value is computed, from constants only, without any large value in between.
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

/// Whether something that cannot be folded needs the value.
fn used_by_others(graph: &Graph, foldable: &[bool]) -> Vec<bool> {
    let mut used = vec![false; foldable.len()];
    for output in graph.outputs() {
        used[output.value.index()] = true;
    }
    for value in graph.values() {
        // An integer or a mask is not stored; what computes it from real numbers is.
        let node = graph.node(value);
        if !foldable[value.index()] || node.ty.dtype != DType::Float {
            node.operands.iter().for_each(|v| used[v.index()] = true);
        }
    }
    used
}

/// The value of a node that depends on no input.
fn evaluate(graph: &Graph, value: ValueId) -> Result<Option<Tensor>, Error> {
    let mut alone = graph.clone();
    alone.clear_outputs();
    alone.output("value", value);
    let needed = graph.needed_for([value]);
    let alone = rebuild(&alone, |new, v, node| {
        let keep = needed[v.index()];
        keep.then(|| new.add(node.op, &node.operands)).transpose()
    })?;
    let results = interpret::<f64>(&alone, &[])?;
    let Some(Value::Float(array)) = results.first() else {
        return Ok(None);
    };
    let data: Vec<f32> = array.floats().iter().map(|&v| v as f32).collect();
    Tensor::new(array.shape().to_vec(), data).map(Some)
}
