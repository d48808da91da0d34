//! Which node gives which value, and an order in which nodes can be read. The standard asks for
//! sorted nodes; not every tool sorts them, and ONNX Runtime does so itself.

use super::node::label;
use crate::Error;
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use odin_error::first_shown;
use std::collections::{HashMap, HashSet};

/// Sorts the nodes of a file, of its functions and of its branches.
///
/// # Errors
/// When names contradict each other, an output is given by nothing, or nodes form a cycle.
pub(super) fn sort(model: &mut ModelProto, graph: &mut GraphProto) -> Result<(), Error> {
    check_names(graph)?;
    sort_graph(graph)?;
    for function in &mut model.functions {
        let name = &function.name;
        sort_nodes(&mut function.node, &function.input)
            .map_err(|e| e.about(format_args!("function {name:?}")))?;
    }
    Ok(())
}

/// The inputs, initializers and outputs of the main graph.
fn check_names(graph: &GraphProto) -> Result<(), Error> {
    let mut inputs: HashMap<&str, &ValueInfoProto> = HashMap::new();
    for input in &graph.input {
        if inputs.insert(&input.name, input).is_some() {
            return Err(contradiction("two inputs are named", &input.name));
        }
    }
    let mut stored: HashMap<&str, &TensorProto> = HashMap::new();
    for tensor in &graph.initializer {
        if stored
            .insert(&tensor.name, tensor)
            .is_some_and(|other| other != tensor)
        {
            let what = "there are two initializers with different contents named";
            return Err(contradiction(what, &tensor.name));
        }
        if let Some(input) = inputs.get(&tensor.name[..])
            && !is_of_type(tensor, input)
        {
            let what = "an initializer has another type or shape than the input of its name,";
            return Err(contradiction(what, &tensor.name));
        }
    }
    let mut sparse: HashSet<&str> = HashSet::new();
    for name in graph.sparse_initializer.iter().map(|s| s.name()) {
        if stored.contains_key(name) || !sparse.insert(name) {
            return Err(contradiction("there are two initializers named", name));
        }
    }
    if graph.output.is_empty() {
        return Err(Error::corrupt(
            "it has no outputs; export it again with the logits as output",
        ));
    }
    let computed = graph.node.iter().flat_map(|node| &node.output);
    let computed: HashSet<&str> = computed.map(String::as_str).collect();
    let given = |name: &str| {
        let is_constant = stored.contains_key(name) || sparse.contains(name);
        computed.contains(name) || is_constant || inputs.contains_key(name)
    };
    match graph.output.iter().find(|output| !given(&output.name)) {
        Some(output) => Err(contradiction("nothing gives the output", &output.name)),
        None => Ok(()),
    }
}

fn contradiction(what: &str, name: &str) -> Error {
    Error::corrupt(format!("{what} {name:?}; the file contradicts itself"))
}

/// Whether an initializer is what an input of its name is declared to be.
fn is_of_type(tensor: &TensorProto, input: &ValueInfoProto) -> bool {
    let declared = input.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref());
    let Some(declared) = declared else {
        return true;
    };
    let same_type = declared.elem_type == 0 || declared.elem_type == tensor.data_type;
    let same_shape = declared.shape.as_ref().is_none_or(|shape| {
        let mut pairs = shape.dim.iter().zip(&tensor.dims);
        shape.dim.len() == tensor.dims.len()
            && pairs.all(|(dim, extent)| dim.fixed().is_none_or(|v| v == *extent))
    });
    same_type && same_shape
}

fn sort_graph(graph: &mut GraphProto) -> Result<(), Error> {
    let inputs = graph.input.iter().map(|i| i.name.clone());
    let stored = graph.initializer.iter().map(|t| t.name.clone());
    let sparse = graph.sparse_initializer.iter().map(|s| s.name().into());
    let given: Vec<String> = inputs.chain(stored).chain(sparse).collect();
    sort_nodes(&mut graph.node, &given)
}

/// Sorts nodes and those of their branches; none may give what is given already.
fn sort_nodes(nodes: &mut Vec<NodeProto>, given: &[String]) -> Result<(), Error> {
    for node in nodes.iter_mut() {
        let name = label(node, "");
        for branch in node.attribute.iter_mut().filter_map(|a| a.g.as_deref_mut()) {
            sort_graph(branch).map_err(|e| e.about(&name))?;
        }
    }
    let order = order(nodes, given)?;
    if order.is_sorted() {
        return Ok(());
    }
    let mut unsorted: Vec<Option<NodeProto>> = nodes.drain(..).map(Some).collect();
    nodes.extend(order.into_iter().filter_map(|i| unsorted[i].take()));
    Ok(())
}

/// An order in which every node comes after those that it reads from: that of the file, where it
/// is one.
fn order(nodes: &[NodeProto], given: &[String]) -> Result<Vec<usize>, Error> {
    let producers = producers(nodes, given)?;
    let needs = |i: usize| -> Vec<usize> {
        let names = reads(&nodes[i]).into_iter();
        names
            .filter_map(|name| producers.get(name).copied())
            .collect()
    };
    let mut state = vec![State::Waiting; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    for first in 0..nodes.len() {
        if state[first] != State::Waiting {
            continue;
        }
        // Each with what it reads from and is yet to be visited.
        let mut open = vec![(first, needs(first))];
        state[first] = State::Open;
        while let Some((node, left)) = open.last_mut() {
            let Some(next) = left.pop() else {
                state[*node] = State::Done;
                order.push(*node);
                open.pop();
                continue;
            };
            match state[next] {
                State::Done => {}
                State::Open => {
                    let cycle = open.iter().map(|(i, _)| *i).skip_while(|&i| i != next);
                    return Err(circular(cycle.map(|i| &nodes[i])));
                }
                State::Waiting => {
                    state[next] = State::Open;
                    open.push((next, needs(next)));
                }
            }
        }
    }
    Ok(order)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Open,
    Done,
}

fn circular<'n>(cycle: impl Iterator<Item = &'n NodeProto>) -> Error {
    let labels: Vec<String> = cycle.map(|node| label(node, "")).collect();
    let shown = first_shown(labels.iter().map(String::as_str)).join(", ");
    Error::corrupt(match labels.len() {
        1 => format!("the node {shown} reads what it gives"),
        count => format!("{count} nodes form a cycle, each reads from another of them: {shown}"),
    })
}

/// Which node gives each name.
fn producers<'n>(
    nodes: &'n [NodeProto],
    given: &[String],
) -> Result<HashMap<&'n str, usize>, Error> {
    let given: HashSet<&str> = given.iter().map(String::as_str).collect();
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if given.contains(name.as_str()) {
                let node = label(node, "");
                let what = format!("{node} gives what is an input or an initializer already,");
                return Err(contradiction(&what, name));
            }
            if let Some(other) = producers.insert(name, i) {
                let both = format!(
                    "{} and {} both give",
                    label(&nodes[other], ""),
                    label(node, "")
                );
                return Err(contradiction(&both, name));
            }
        }
    }
    Ok(producers)
}

/// The names that a node reads, those that its branches read from outside included.
pub(super) fn reads(node: &NodeProto) -> Vec<&str> {
    let operands = node.input.iter().map(String::as_str);
    let mut names: Vec<&str> = operands.filter(|name| !name.is_empty()).collect();
    for branch in node.attribute.iter().filter_map(|a| a.g.as_deref()) {
        let computed = branch.node.iter().flat_map(|n| &n.output);
        let stored = branch.initializer.iter().map(|t| &t.name);
        let inputs = branch.input.iter().map(|i| &i.name);
        let own = computed.chain(stored).chain(inputs);
        let own: HashSet<&str> = own.map(String::as_str).collect();
        let results = branch.output.iter().map(|o| o.name.as_str());
        let read = branch.node.iter().flat_map(reads).chain(results);
        names.extend(read.filter(|name| !own.contains(name)));
    }
    names
}
