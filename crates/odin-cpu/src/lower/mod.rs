//! Lowering from the portable graph to a program: operator fusion, strided views, memory planning,
//! kernel selection.

mod aliasing;
mod chain;
mod describe;
mod fuse;
mod fused_elementwise;
mod group;
mod memory_plan;
pub(crate) mod plan;
mod preparation;
mod products;
mod select;
mod strided_copies;

use crate::memory::ScratchSize;
use crate::options::{Options, Precision};
use crate::program::StepPrecision;
use crate::simd::bf16::Bf16Isa;
use crate::weight_cache::WeightCache;
use crate::{Error, ErrorKind};
use group::{Group, Head};
use memory_plan::MemoryPlan;
use odin_graph::{Graph, Op};
use odin_lower::{Port, contiguous_views, strided_views};
use plan::Plan;
use preparation::Preparation;
use select::KernelSelector;

/// Lowers a graph. Weights that `weights` holds packed in the same way are not packed again.
pub(crate) fn lower(graph: &Graph, options: Options, weights: &WeightCache) -> Result<Plan, Error> {
    let strided_views = strided_views(graph);
    let views = contiguous_views(graph, &strided_views)
        .map_err(|e| Error::new(ErrorKind::UnsupportedGraph, e.to_string()))?;
    let groups = strided_copies::form(graph, &views, &strided_views, fuse::groups(graph));
    let bf16 = match options.precision {
        Precision::Exact => None,
        Precision::Fast => options.bf16.map(|bf16| bf16.0),
    };
    let groups = schedule(graph, groups);
    // Operands of products in bf16 are to be row-major.
    let is_strided = !bf16.is_some_and(Bf16Isa::is_faster_split);
    let groups = products::form(graph, &views, &strided_views, is_strided, groups);
    let (placement, in_place) = aliasing::place(graph, &views, &groups);
    let mut memory = MemoryPlan::new(graph, &placement, &groups);
    let limit = options.thread_bytes(graph);
    check_memory(memory.sizes.values(), limit)?;
    let mut preparation = Preparation::new();
    for v in graph.values() {
        preparation.count(graph, v)?;
    }
    let selector = KernelSelector {
        graph,
        isa: options.instructions.0,
        options,
        views: &views,
        strided_views: &strided_views,
        placement: &placement,
        memory: &memory,
        weights,
        bf16,
        is_direction: &graph.direction(),
    };
    let mut steps = Vec::new();
    for (group, in_place) in groups.iter().zip(in_place) {
        steps.extend(selector.step(group, in_place)?);
    }
    let outputs = graph.outputs().iter();
    let outputs = outputs.map(|output| {
        let port = Port::new(graph, &output.name, output.value);
        Ok((port, selector.output(output.value)?))
    });
    let outputs = outputs.collect::<Result<_, Error>>()?;
    memory.sizes.scratch = steps
        .iter()
        .map(|step| step.kernel.scratch())
        .fold(ScratchSize::default(), ScratchSize::max);
    let is_used = steps
        .iter()
        .any(|step| step.description.precision != StepPrecision::F32);
    let images_at_a_time = steps.iter().map(|s| s.kernel.images_at_a_time());
    let images_at_a_time = images_at_a_time.max().unwrap_or(1);
    let values = memory.sizes.values().saturating_mul(images_at_a_time);
    check_memory(values.saturating_add(memory.sizes.scratch()), limit)?;
    Ok(Plan {
        inputs: graph
            .inputs()
            .map(|(v, input)| Port::new(graph, &input.name, v))
            .collect(),
        steps,
        outputs,
        sizes: memory.sizes,
        images_at_a_time,
        instructions: options.instructions,
        bf16: options.bf16.filter(|_| is_used),
    })
}

/// Refuses what a thread could not compute within its memory.
fn check_memory(needed: usize, limit: usize) -> Result<(), Error> {
    if needed <= limit {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::OutOfMemory,
        format!(
            "the values of one image need {needed} bytes in each thread, and a network with weights of this size may take {limit}; use smaller images"
        ),
    ))
}

/// Orders groups by their results; a comparison comes directly after its operands, so that the
/// slot of an activation is free as soon as its mask is computed.
fn schedule(graph: &Graph, mut groups: Vec<Group>) -> Vec<Group> {
    let turn = |group: &Group| match group.head {
        Head::Single(v) if matches!(graph.node(v).op, Op::Compare(_)) => {
            let operands = graph.node(v).operands.iter().copied();
            let last = operands
                .filter(|&x| graph.constant_value(x).is_none())
                .max();
            (last.unwrap_or(v), Some(v))
        }
        _ => (group.value, None),
    };
    groups.sort_by_key(turn);
    groups
}
