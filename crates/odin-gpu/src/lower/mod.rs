//! Lowering from the portable graph to a program of compute shaders.

mod convolution;
mod fusion;
mod limits;
mod matrix;
mod memory;
mod pack;
mod select;

use crate::shader::{Home, Kernel};
use crate::{Error, ErrorKind};
use fusion::Group;
use memory::MemoryPlan;
use odin_graph::cost::node_multiply_adds;
use odin_graph::{Graph, ValueId};
use odin_lower::{Port, contiguous_views, furthest_strided_views, operator_name, operator_names};
use select::Selector;

/// A graph ready to be compiled.
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) input_places: Vec<Located>,
    pub(crate) output_places: Vec<Located>,
    pub(crate) steps: Vec<Step>,
    /// The words of an image's values.
    pub(crate) words: usize,
}

/// The elements per image of an input or an output, and where they are.
pub(crate) struct Located {
    pub(crate) len: usize,
    pub(crate) home: Home,
}

/// A kernel, and what it is for.
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    pub(crate) what: String,
    pub(crate) origin: String,
    pub(crate) shape: Vec<usize>,
    /// Operations of its products for one image.
    pub(crate) flops: u64,
}

/// Lowers a graph.
pub(crate) fn lower(graph: &Graph) -> Result<Plan, Error> {
    limits::check(graph)?;
    let strided = furthest_strided_views(graph);
    let views = contiguous_views(graph, &strided).map_err(unsupported)?;
    let groups = fusion::groups(graph, &strided, &views);
    let memory = MemoryPlan::new(graph, &strided, &views, &groups);
    let selector = Selector {
        graph,
        strided: &strided,
        memory: &memory,
    };
    let mut steps = Vec::new();
    let is_empty = |group: &&Group| graph.shape(group.value).at(1).contains(&0);
    for group in groups.iter().filter(|group| !is_empty(group)) {
        for kernel in selector.kernels(group)? {
            steps.push(step(graph, group, kernel));
        }
    }
    let located = |v: ValueId| {
        let len = graph.shape(v).at(1).iter().product();
        let home = selector.contiguous(v)?.home;
        Ok(Located { len, home })
    };
    let inputs = graph.inputs().map(|(v, _)| located(v));
    let outputs = graph.outputs().iter().map(|output| located(output.value));
    Ok(Plan {
        input_places: inputs.collect::<Result<_, Error>>()?,
        output_places: outputs.collect::<Result<_, Error>>()?,
        inputs: graph
            .inputs()
            .map(|(v, input)| Port::new(graph, &input.name, v))
            .collect(),
        outputs: graph
            .outputs()
            .iter()
            .map(|output| Port::new(graph, &output.name, output.value))
            .collect(),
        steps,
        words: memory.words,
    })
}

fn unsupported(reason: impl ToString) -> Error {
    Error::new(ErrorKind::UnsupportedGraph, reason.to_string())
}

fn step(graph: &Graph, group: &Group, kernel: Kernel) -> Step {
    let head = group.head();
    let flops = head.map_or(0, |v| 2 * node_multiply_adds(graph, v));
    Step {
        kernel,
        what: describe(graph, group),
        origin: graph.node(head.unwrap_or(group.value)).origin.clone(),
        shape: graph.shape(group.value).at(1).into_iter().skip(1).collect(),
        flops,
    }
}

/// The operators in order, such as `relu > conv 1x1 > relu`.
fn describe(graph: &Graph, group: &Group) -> String {
    let head = group
        .head()
        .map(|v| operator_name(graph, v))
        .unwrap_or_default();
    let parts = [
        operator_names(graph, &group.prologue),
        head,
        operator_names(graph, &group.epilogue),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|p| !p.is_empty())
        .collect();
    parts.join(" > ")
}
