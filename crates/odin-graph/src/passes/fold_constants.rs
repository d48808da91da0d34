//! Constant folding.

use super::eliminate_dead_code;
use super::rebuild::rebuild;
use crate::cost::{Cost, NODE, interpretation};
use crate::{DType, Error, Graph, Node, Op, Tensor, Value, ValueId, interpret};
use std::collections::{HashMap, HashSet};

/// Operations of the interpreter that any graph may take, and those for each element of a constant.
const FREE_WORK: u64 = 1 << 28;
const WORK_PER_ELEMENT: u64 = 64;

/// Evaluates what depends on no input, in f64 and rounded once, up to `max_elements` elements in
/// total. Values that are larger, or computed from larger ones, are not folded; nor are those whose
/// evaluation takes more memory than the graph's budget, or more work than its constants give
/// reason for.
///
/// # Errors
/// If the graph is not well formed.
pub fn fold_constants(graph: &Graph, max_elements: usize) -> Result<Graph, Error> {
    let foldable = foldable(graph, max_elements);
    let used = used_by_others(graph, &foldable);
    let mut allowance = Allowance::of(graph, max_elements);
    let folded = rebuild(graph, |new, value, node| {
        let wanted = foldable[value.index()] && used[value.index()];
        if wanted
            && node.ty.dtype == DType::Float
            && let Some(tensor) = allowance.evaluate(new, &node)?
        {
            return new.constant(tensor).map(Some);
        }
        new.add(node.op, &node.operands).map(Some)
    })?;
    eliminate_dead_code(&folded)
}

/// What may still be evaluated.
struct Allowance {
    elements: usize,
    work: u64,
}

impl Allowance {
    fn of(graph: &Graph, max_elements: usize) -> Self {
        let constants = graph.values().filter_map(|v| graph.constant_value(v));
        let elements: u64 = constants.map(|c| c.data().len() as u64).sum();
        Self {
            elements: max_elements,
            work: FREE_WORK.saturating_add(elements.saturating_mul(WORK_PER_ELEMENT)),
        }
    }

    /// The value of a node whose operands in `graph` depend on no input, if that is allowed.
    fn evaluate(&mut self, graph: &mut Graph, node: &Node) -> Result<Option<Tensor>, Error> {
        let count = node.ty.shape.elements().map_or(usize::MAX, |(n, _)| n);
        if self.work == 0 || count > self.elements {
            return Ok(None);
        }
        let ancestors = ancestors(graph, &node.operands);
        let mut alone = Graph::new();
        let result = copy(graph, &ancestors, node, &mut alone)?;
        let costs: Vec<Cost> = alone.values().map(|v| interpretation(&alone, v)).collect();
        let (bytes, work) = costs
            .iter()
            .fold((0, 0), |(bytes, work): (u64, u64), cost| {
                (
                    bytes.saturating_add(cost.bytes),
                    work.saturating_add(cost.work),
                )
            });
        let affordable = work <= self.work && bytes <= graph.budget().left();
        // To find out was work, too.
        let done = if affordable {
            work
        } else {
            costs.len() as u64 * NODE
        };
        self.work = self.work.saturating_sub(done);
        if !affordable {
            return Ok(None);
        }
        graph.budget_mut().spend::<f32>(count)?;
        self.elements -= count;
        value_of(alone, result)
    }
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

/// Adds a copy of a node after copies of what it depends on, and returns it.
fn copy(
    graph: &Graph,
    ancestors: &[ValueId],
    node: &Node,
    alone: &mut Graph,
) -> Result<ValueId, Error> {
    let mut copies: HashMap<ValueId, ValueId> = HashMap::new();
    for &value in ancestors {
        let own = graph.node(value);
        let copy = alone.add(own.op.clone(), &copied(&copies, &own.operands))?;
        copies.insert(value, copy);
    }
    alone.add(node.op.clone(), &copied(&copies, &node.operands))
}

fn copied(copies: &HashMap<ValueId, ValueId>, operands: &[ValueId]) -> Vec<ValueId> {
    let found = operands.iter().filter_map(|v| copies.get(v));
    found.copied().collect()
}

/// The values and everything that they depend on, in topological order.
fn ancestors(graph: &Graph, values: &[ValueId]) -> Vec<ValueId> {
    let mut found: HashSet<ValueId> = HashSet::new();
    let mut open = values.to_vec();
    while let Some(value) = open.pop() {
        if found.insert(value) {
            open.extend(&graph.node(value).operands);
        }
    }
    let mut found: Vec<ValueId> = found.into_iter().collect();
    found.sort_unstable();
    found
}

fn value_of(mut alone: Graph, result: ValueId) -> Result<Option<Tensor>, Error> {
    alone.output("value", result);
    let results = interpret::<f64>(&alone, &[])?;
    let Some(Value::Float(array)) = results.first() else {
        return Ok(None);
    };
    let data: Vec<f32> = array.floats().iter().map(|&v| v as f32).collect();
    Tensor::new(array.shape().to_vec(), data).map(Some)
}
