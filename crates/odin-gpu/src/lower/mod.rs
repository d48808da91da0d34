//! Lowering from the portable graph to a program of compute shaders.

mod convolution;
mod fusion;
mod matrix;
mod memory;
mod pack;
mod select;

use crate::shader::{Home, Kernel};
use crate::{Error, ErrorKind};
use fusion::Group;
use memory::MemoryPlan;
use odin_graph::cost::node_multiply_adds;
use odin_graph::{DType, Graph, Op, ValueId, op};
use odin_lower::{BatchLayout, contiguous_views, furthest_strided_views};
use select::Selector;

/// A graph ready to be compiled.
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) steps: Vec<Step>,
    /// The words of an image's values.
    pub(crate) words: usize,
}

/// An input or an output of the graph.
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) layout: BatchLayout,
    /// Elements per image.
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
    for group in &groups {
        for kernel in selector.kernels(group)? {
            steps.push(step(graph, group, kernel));
        }
    }
    let port = |name: &str, v: ValueId| {
        let ty = graph.ty(v);
        let home = selector.contiguous(v)?.home;
        Ok(Port {
            name: name.to_string(),
            dtype: ty.dtype,
            layout: BatchLayout::new(&ty.shape),
            len: ty.shape.at(1).iter().product(),
            home,
        })
    };
    let inputs = graph.inputs().map(|(v, input)| port(&input.name, v));
    let outputs = graph.outputs().iter().map(|o| port(&o.name, o.value));
    Ok(Plan {
        inputs: inputs.collect::<Result<_, Error>>()?,
        outputs: outputs.collect::<Result<_, Error>>()?,
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
    let names = |nodes: &[ValueId]| {
        let mut names: Vec<String> = Vec::new();
        for &v in nodes {
            let name = name(graph, v);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(" ")
    };
    let head = group.head().map(|v| name(graph, v)).unwrap_or_default();
    let parts = [names(&group.prologue), head, names(&group.epilogue)];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|p| !p.is_empty())
        .collect();
    parts.join(" > ")
}

/// Such as `conv 3x3`.
fn name(graph: &Graph, v: ValueId) -> String {
    let (name, window) = match &graph.node(v).op {
        Op::Conv(op::Conv { window, .. }) => ("conv", window),
        Op::ConvTranspose(conv) => ("conv-transpose", &conv.window),
        other => return other.name().to_lowercase(),
    };
    let extents: Vec<String> = window.kernel.iter().map(ToString::to_string).collect();
    format!("{name} {}", extents.join("x"))
}
