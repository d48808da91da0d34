//! Which values share memory: a value whose last use is over leaves its buffer to another.

use crate::kernels::AnyKernel;
use crate::lower::{Draft, Operand, Step};
use crate::workspace::{Sizes, Source};
use odin_graph::{Graph, ValueId};

pub(crate) struct Placed {
    pub(crate) steps: Vec<Step>,
    pub(crate) wanted: Vec<Source>,
    pub(crate) sizes: Sizes,
}

/// Gives every value a buffer. `wanted` stays until the end.
pub(crate) fn place(graph: &Graph, drafts: Vec<Draft>, wanted: Vec<Operand>) -> Placed {
    let mut last_use = vec![0; graph.nodes().len()];
    for (i, draft) in drafts.iter().enumerate() {
        last_use[draft.value.index()] = i;
        values(&draft.operands).for_each(|v| last_use[v.index()] = i);
    }
    values(&wanted).for_each(|v| last_use[v.index()] = usize::MAX);

    let mut sizes = Sizes::default();
    let mut pools = [Pool::default(), Pool::default(), Pool::default()];
    let mut sources: Vec<Option<Source>> = vec![None; graph.nodes().len()];
    let mut pool_of = vec![0; graph.nodes().len()];
    let mut steps = Vec::new();
    for (
        i,
        Draft {
            kernel,
            operands,
            value,
        },
    ) in drafts.into_iter().enumerate()
    {
        let len = graph.shape(value).at(1).iter().product();
        let pool = pool_number(&kernel);
        let buffer = pools[pool].take(len);
        pool_of[value.index()] = pool;
        sources[value.index()] = Some(Source::Buffer { index: buffer, len });
        let mut over: Vec<ValueId> = values(&operands).chain([value]).collect();
        over.retain(|v| last_use[v.index()] == i);
        over.sort_unstable();
        over.dedup();
        let needed = kernel.scratch();
        sizes.scratch.floats = sizes.scratch.floats.max(needed.floats);
        sizes.scratch.indices = sizes.scratch.indices.max(needed.indices);
        let operands = resolve(operands, &sources);
        steps.push(Step {
            kernel,
            operands,
            buffer,
            len,
        });
        for v in over {
            if let Some(Source::Buffer { index, .. }) = sources[v.index()] {
                pools[pool_of[v.index()]].free.push(index);
            }
        }
    }
    let wanted = resolve(wanted, &sources);
    [sizes.floats, sizes.ints, sizes.masks] = pools.map(|pool| pool.lengths);
    Placed {
        steps,
        wanted,
        sizes,
    }
}

fn values(operands: &[Operand]) -> impl Iterator<Item = ValueId> {
    operands.iter().filter_map(|operand| match operand {
        Operand::Value(v) => Some(*v),
        Operand::Constant(_) => None,
    })
}

fn pool_number(kernel: &AnyKernel) -> usize {
    match kernel {
        AnyKernel::Float(_) => 0,
        AnyKernel::Int(_) => 1,
        AnyKernel::Bool(_) => 2,
    }
}

/// Steps come after those that compute their operands, so that every operand has a place.
fn resolve(operands: Vec<Operand>, sources: &[Option<Source>]) -> Vec<Source> {
    let place = |operand| match operand {
        Operand::Constant(tensor) => Some(Source::Constant(tensor)),
        Operand::Value(v) => sources[v.index()].clone(),
    };
    operands.into_iter().filter_map(place).collect()
}

/// The buffers of one type.
#[derive(Debug, Default)]
struct Pool {
    lengths: Vec<usize>,
    free: Vec<usize>,
}

impl Pool {
    /// The smallest free buffer that is long enough, else the longest one, made longer, else a
    /// new one.
    fn take(&mut self, len: usize) -> usize {
        let lengths = &self.lengths;
        let position = |best: Option<usize>| self.free.iter().position(|&b| Some(b) == best);
        let enough = self.free.iter().copied().filter(|&b| lengths[b] >= len);
        let smallest = enough.min_by_key(|&b| lengths[b]);
        let longest = self.free.iter().copied().max_by_key(|&b| lengths[b]);
        match position(smallest.or(longest)) {
            Some(position) => {
                let buffer = self.free.swap_remove(position);
                self.lengths[buffer] = self.lengths[buffer].max(len);
                buffer
            }
            None => {
                self.lengths.push(len);
                self.lengths.len() - 1
            }
        }
    }
}
