//! The operators, prepared for one image: each kernel knows all extents, and computes its output
//! from its operands.

mod axis;
pub(crate) mod block;
pub(crate) mod conv;
pub(crate) mod conv1x1;
pub(crate) mod depthwise;
pub(crate) mod elementwise;
mod fold;
pub(crate) mod gather;
mod gemm;
mod lines;
pub(crate) mod map;
pub(crate) mod pool;
pub(crate) mod product;
pub(crate) mod reduce;
pub(crate) mod shape;
pub(crate) mod unfold;
pub(crate) mod walk;
mod window;
pub(crate) mod winograd;

use crate::workspace::{Operands, Out, Scratch};
use std::ops::Range;

/// Computes one value of one image. It writes every element of `y`, whatever was there before.
pub(crate) trait Kernel<T>: Send + Sync {
    /// `y` from the operands `x`.
    fn run(&self, x: &Operands<'_>, y: &mut [T], scratch: &mut Scratch);

    /// What `run` needs besides its operands.
    fn scratch(&self) -> ScratchSize {
        ScratchSize::default()
    }
}

/// Computes a value of one image by several threads, each its share.
pub(crate) trait Shared: Send + Sync {
    /// A share of `y` from the operands `x`. All shares together write every element of `y`, each
    /// once, and the signs that the kernel keeps.
    fn run(&self, x: &Operands<'_>, y: Written<'_>, scratch: &mut Scratch, share: Share);

    /// The same for several images, one after the other unless the kernel knows better. An image
    /// comes out the same to the last bit, whatever others there are.
    fn run_images(&self, images: &[Image<'_>], scratch: &mut Scratch, share: Share) {
        for image in images {
            self.run(&image.x, image.y, scratch, share);
        }
    }

    /// How many images it had best get at a time.
    fn images_at_a_time(&self) -> usize {
        1
    }

    /// What `run` needs besides its operands.
    fn scratch(&self) -> ScratchSize {
        ScratchSize::default()
    }
}

/// The most images that are computed at a time.
const IMAGES: usize = 4;

/// What a [`Shared`] kernel reads and writes of an image.
pub(crate) struct Image<'a> {
    pub(crate) x: Operands<'a>,
    pub(crate) y: Written<'a>,
}

/// What a [`Shared`] kernel writes.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) floats: Out<'a, f32>,
    /// The signs of its input, of which it computes an activation first.
    pub(crate) before: Option<Out<'a, u8>>,
    /// The signs of its output.
    pub(crate) after: Option<Out<'a, u8>>,
}

/// A part of the work, for one of `count` threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl Share {
    pub(crate) const WHOLE: Self = Self { index: 0, count: 1 };

    /// That of one of the threads of a pool.
    pub(crate) fn of_thread(thread: &rayon::BroadcastContext<'_>) -> Self {
        Self {
            index: thread.index(),
            count: thread.num_threads(),
        }
    }

    /// Its part of `n` things.
    pub(crate) fn of(self, n: usize) -> Range<usize> {
        let start = |index: usize| (n as u128 * index as u128 / self.count as u128) as usize;
        start(self.index)..start(self.index + 1)
    }
}

/// A kernel by the type of its output.
pub(crate) enum AnyKernel {
    Float(Box<dyn Kernel<f32>>),
    Int(Box<dyn Kernel<i64>>),
    Bool(Box<dyn Kernel<bool>>),
    Shared(Box<dyn Shared>),
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

    pub(crate) fn shared(kernel: impl Shared + 'static) -> Self {
        Self::Shared(Box::new(kernel))
    }

    pub(crate) fn images_at_a_time(&self) -> usize {
        match self {
            Self::Shared(kernel) => kernel.images_at_a_time(),
            _ => 1,
        }
    }

    pub(crate) fn scratch(&self) -> ScratchSize {
        match self {
            Self::Float(kernel) => kernel.scratch(),
            Self::Int(kernel) => kernel.scratch(),
            Self::Bool(kernel) => kernel.scratch(),
            Self::Shared(kernel) => kernel.scratch(),
        }
    }
}

/// Elements of scratch memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ScratchSize {
    pub(crate) floats: usize,
    pub(crate) indices: usize,
}
