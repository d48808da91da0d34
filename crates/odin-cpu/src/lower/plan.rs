//! The plan: a program of steps, the sizes of its memory, its inputs and outputs.

use crate::kernels::AnyKernel;
use crate::memory::{ArenaSizes, Source};
use crate::program::ProgramStep;
use crate::simd::InstructionSet;
use crate::simd::bf16::Bf16Instructions;
use odin_lower::{Port, Slot};

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

/// A kernel, what it reads and where it writes.
pub(crate) struct Step {
    pub(crate) kernel: AnyKernel,
    pub(crate) operands: Vec<Source>,
    pub(crate) output: Slot,
    /// Where the prologue and the epilogue save sign bits.
    pub(crate) saved_signs: [Option<Slot>; 2],
    pub(crate) description: ProgramStep,
}
