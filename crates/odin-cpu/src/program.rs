//! The program that an engine has made of a graph, for people to read.

use std::fmt;
use std::time::Duration;

/// One step of a program: operators that are fused.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProgramStep {
    /// The operators in order, such as `affine relu > conv 1x1 > affine relu`: the prologue before
    /// the first `>`, the epilogue after the last.
    pub what: String,
    /// The layer of the model that it comes from, as its file names it; empty if the file has no
    /// names.
    pub origin: String,
    /// The shape of the result for one image, without the batch axis.
    pub shape: Vec<usize>,
    /// The precision of its products.
    pub precision: StepPrecision,
    /// Floating-point operations for one image: a multiply-add counts as two. Only matrix products
    /// and convolutions are counted, as by direct evaluation.
    pub flops: u64,
    /// Bytes that are read and written for one image, weights included, without caches.
    pub bytes: u64,
}

/// A program and its cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Program {
    /// The instruction set of the kernels.
    pub instructions: crate::InstructionSet,
    /// The instructions for products of bf16, if any step has such.
    pub bf16: Option<crate::Bf16Instructions>,
    /// The steps, in the order of execution.
    pub steps: Vec<ProgramStep>,
    /// The number of images that a thread computes at a time, if there are enough.
    pub images_at_a_time: usize,
    /// Bytes for the values of one image.
    pub image_bytes: u64,
    /// Bytes of scratch memory per thread.
    pub thread_bytes: u64,
}

impl Program {
    /// The instructions that it is computed with, such as `AVX-512 and AMX`.
    pub fn instruction_names(&self) -> String {
        match self.bf16 {
            Some(bf16) => format!("{} and {bf16}", self.instructions),
            None => self.instructions.to_string(),
        }
    }

    /// Floating-point operations for one image.
    pub fn flops(&self) -> u64 {
        self.steps.iter().map(|step| step.flops).sum()
    }
}

/// The time of each step for one image: the shortest of several runs.
pub type Times = Vec<Duration>;

/// The precision of the products of a step; sums are always in f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepPrecision {
    /// f32, or no products.
    #[default]
    F32,
    /// Operands rounded to bf16.
    Bf16,
    /// Operands rounded to two bf16 each, of whose products three are summed.
    TwiceBf16,
}

impl fmt::Display for StepPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::TwiceBf16 => "2 x bf16",
        })
    }
}
