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
use odin_graph::cost::{elements, node_multiply_adds};
use odin_graph::{Graph, ValueId};
use odin_lower::{
    Port, StridedView, contiguous_views, furthest_strided_views, operator_name, operator_names,
};
use select::Selector;
use std::ops::Range;

/// The bytes of an element of any type.
const WORD: u64 = 4;

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

impl Located {
    /// The words that are downloaded of each image, within the value that contains the output: all
    /// of them, in one piece with those of other images, unless most are not the output's. `None`
    /// for constants.
    pub(crate) fn download(&self) -> Option<Range<usize>> {
        match self.home {
            Home::Constant(..) => None,
            Home::Arena(place) if 2 * self.len > place.stride => Some(0..place.stride),
            Home::Arena(place) => Some(place.offset..place.offset + self.len),
        }
    }
}

/// A kernel, and what it is for.
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    pub(crate) what: String,
    pub(crate) origin: String,
    pub(crate) shape: Vec<usize>,
    /// Its share of what its operators cost.
    pub(crate) cost: Cost,
}

/// What operators cost at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Operations of products for one image.
    pub(crate) flops: u64,
    /// Bytes read and written for one image, each value once.
    pub(crate) bytes: u64,
    /// Bytes of constants, which are read once for all images.
    pub(crate) constant_bytes: u64,
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
        let kernels = selector.kernels(group)?;
        let cost = cost(graph, &strided, group).shared_by(kernels.len());
        for kernel in kernels {
            steps.push(step(graph, group, kernel, cost));
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

impl Cost {
    /// Each of so many kernels that compute parts of one result has about the same share.
    fn shared_by(self, kernels: usize) -> Self {
        let share = |all: u64| all / kernels.max(1) as u64;
        Self {
            flops: share(self.flops),
            bytes: share(self.bytes),
            constant_bytes: share(self.constant_bytes),
        }
    }
}

fn cost(graph: &Graph, strided: &[StridedView], group: &Group) -> Cost {
    let mut cost = Cost {
        flops: group.head().map_or(0, |v| 2 * node_multiply_adds(graph, v)),
        bytes: WORD * elements(graph, group.value),
        constant_bytes: 0,
    };
    let mut read: Vec<ValueId> = Vec::new();
    for value in group.reads(graph).into_iter().map(|read| read.value) {
        if read.contains(&value) {
            continue;
        }
        read.push(value);
        // What is expanded is read once, what is cut in part.
        let base = strided[value.index()].base;
        let bytes = WORD * elements(graph, value).min(elements(graph, base));
        match graph.constant_value(base) {
            Some(_) => cost.constant_bytes += bytes,
            None => cost.bytes += bytes,
        }
    }
    cost
}

fn step(graph: &Graph, group: &Group, kernel: Kernel, cost: Cost) -> Step {
    let head = group.head();
    Step {
        kernel,
        what: describe(graph, group),
        origin: graph.node(head.unwrap_or(group.value)).origin.clone(),
        shape: graph.shape(group.value).at(1).into_iter().skip(1).collect(),
        cost,
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
