//! Lowering from the portable graph to a program: operator fusion, strided views, memory planning,
//! kernel selection.

mod aliasing;
mod chain;
mod contiguous_views;
mod describe;
mod fuse;
mod fused_elementwise;
mod group;
mod memory_plan;
pub(crate) mod plan;
mod select;
mod strided_copies;
mod strided_views;
mod view;

use crate::memory::{ArenaSizes, ScratchSize};
use crate::options::Options;
use crate::weight_cache::WeightCache;
use crate::{Error, ErrorKind};
use aliasing::Aliasing;
use group::{Group, Head};
use memory_plan::MemoryPlan;
use odin_graph::{Graph, Op};
use plan::{Plan, Port, Step};
use select::KernelSelector;

/// The most bytes of scratch memory per thread.
const MAX_SCRATCH: usize = 1 << 31;

/// Lowers a graph. Weights that `weights` holds packed in the same way are not packed again.
pub(crate) fn lower(graph: &Graph, options: Options, weights: &WeightCache) -> Result<Plan, Error> {
    let strided_views = strided_views::strided_views(graph);
    let views = contiguous_views::contiguous_views(graph, &strided_views)?;
    let groups = strided_copies::form(graph, &views, &strided_views, fuse::groups(graph));
    let groups = schedule(graph, groups);
    let (aliasing, in_place) = Aliasing::new(graph, &views, &groups);
    let mut memory = MemoryPlan::new(graph, &aliasing, &groups);
    let selector = KernelSelector {
        graph,
        isa: options.instructions.0,
        options,
        views: &views,
        strided_views: &strided_views,
        aliasing: &aliasing,
        memory: &memory,
        weights,
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
    steps.iter().try_for_each(check_scratch)?;
    memory.sizes.scratch = steps
        .iter()
        .map(|step| step.kernel.scratch())
        .fold(ScratchSize::default(), ScratchSize::max);
    let images_at_a_time = steps.iter().map(|s| s.kernel.images_at_a_time());
    let images_at_a_time = images_at_a_time.max().unwrap_or(1);
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
    })
}

/// Refuses a step whose scratch memory no usual image needs: windows that reach far past the input,
/// for example.
fn check_scratch(step: &Step) -> Result<(), Error> {
    let sizes = ArenaSizes {
        scratch: step.kernel.scratch(),
        ..ArenaSizes::default()
    };
    match sizes.scratch() {
        ..=MAX_SCRATCH => Ok(()),
        bytes => {
            let what = &step.description.what;
            let message = format!(
                "{what:?} needs {bytes} bytes of scratch memory per thread, more than {MAX_SCRATCH}; use smaller images"
            );
            Err(Error::new(ErrorKind::UnsupportedGraph, message))
        }
    }
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
