//! The plan: a program of steps, the sizes of its memory, its inputs and outputs.

use crate::kernels::AnyKernel;
use crate::memory::{ArenaSizes, Source};
use crate::program::ProgramStep;
use crate::simd::InstructionSet;
use crate::simd::bf16::Bf16Instructions;
use odin_graph::{DType, Graph, ValueId};
use odin_lower::{BatchLayout, Slot};

/// A graph ready to run.
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Port>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<(Port, Source)>,
    pub(crate) sizes: ArenaSizes,
    /// The number of images per thread at which the steps are fastest.
    pub(crate) images_at_a_time: usize,
    pub(crate) instructions: InstructionSet,
    pub(crate) bf16: Option<Bf16Instructions>,
}

/// An input or an output of the graph.
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) layout: BatchLayout,
}

impl Port {
    pub(super) fn new(graph: &Graph, name: &str, value: ValueId) -> Self {
        let ty = graph.ty(value);
        Self {
            name: name.to_string(),
            dtype: ty.dtype,
            layout: BatchLayout::new(&ty.shape),
        }
    }
}

/// A kernel, what it reads and where it writes.
pub(crate) struct Step {
    pub(crate) kernel: AnyKernel,
    pub(crate) operands: Vec<Source>,
    pub(crate) output: Slot,
    /// Where the prologue and the epilogue save sign bits.
    pub(crate) saved_signs: [Option<Slot>; 2],
    pub(crate) description: ProgramStep,
}
