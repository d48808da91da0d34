//! The operators, prepared for one image: each kernel knows all extents, and computes its output
//! from its operands.

pub(crate) mod conv;
pub(crate) mod elementwise;
mod gemm;
pub(crate) mod pool;
pub(crate) mod product;
pub(crate) mod reduce;
pub(crate) mod shape;
mod walk;
mod window;

use crate::workspace::{Operands, Scratch};

/// Computes one value of one image. It writes every element of `y`, whatever was there before.
pub(crate) trait Kernel<T>: Send + Sync {
    /// `y` from the operands `x`.
    fn run(&self, x: &Operands<'_>, y: &mut [T], scratch: &mut Scratch);

    /// What `run` needs besides its operands.
    fn scratch(&self) -> ScratchSize {
        ScratchSize::default()
    }
}

/// A kernel by the type of its output.
pub(crate) enum AnyKernel {
    Float(Box<dyn Kernel<f32>>),
    Int(Box<dyn Kernel<i64>>),
    Bool(Box<dyn Kernel<bool>>),
}

impl AnyKernel {
    pub(crate) fn float(kernel: impl Kernel<f32> + 'static) -> Self {
        Self::Float(Box::new(kernel))
    }

    pub(crate) fn int(kernel: impl Kernel<i64> + 'static) -> Self {
        Self::Int(Box::new(kernel))
    }

    pub(crate) fn bool(kernel: impl Kernel<bool> + 'static) -> Self {
        Self::Bool(Box::new(kernel))
    }

    pub(crate) fn scratch(&self) -> ScratchSize {
        match self {
            Self::Float(kernel) => kernel.scratch(),
            Self::Int(kernel) => kernel.scratch(),
            Self::Bool(kernel) => kernel.scratch(),
        }
    }
}

/// Elements of scratch memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScratchSize {
    pub(crate) floats: usize,
    pub(crate) indices: usize,
}
