//! What an engine has made of a graph, for people to read.

use std::time::Duration;

/// One step of a program: operators that are computed together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProgramStep {
    /// What is done, in order, such as `affine relu > conv 1x1 > affine relu`. What stands before
    /// the first `>` happens while the input is read, what stands after the last while the output
    /// is written.
    pub what: String,
    /// Where it comes from in the model, as its file names it; empty where the file has no names.
    pub origin: String,
    /// The shape of the result for one image, the batch axis left out.
    pub shape: Vec<usize>,
    /// Floating-point operations for one image: a multiplication and an addition count as two.
    /// Only products are counted, as direct convolution would do them.
    pub flops: u64,
    /// Bytes that are read and written for one image, weights included, if no cache helps.
    pub bytes: u64,
}

/// A program and what it takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Program {
    /// The instruction set that its kernels use.
    pub instructions: crate::InstructionSet,
    /// The steps, in the order in which they run.
    pub steps: Vec<ProgramStep>,
    /// How many images a thread computes at a time, if there are enough.
    pub images_at_a_time: usize,
    /// Bytes for the values of one image in the works.
    pub image_bytes: u64,
    /// Bytes of scratch memory for each thread.
    pub thread_bytes: u64,
}

impl Program {
    /// Floating-point operations for one image.
    pub fn flops(&self) -> u64 {
        self.steps.iter().map(|step| step.flops).sum()
    }
}

/// How long each step took for one image on one thread: the shortest of several runs.
pub type Times = Vec<Duration>;
