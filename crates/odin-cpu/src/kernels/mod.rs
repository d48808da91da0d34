//! Kernels: operators specialised to the shapes of one image, with constant operands packed.

pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod fused_elementwise;
pub(crate) mod gemm;
pub(crate) mod pool;
mod pool_window;
pub(crate) mod reduce;
mod reduction;
pub(crate) mod shape;
pub(crate) mod standalone_epilogue;
pub(crate) mod strided;
pub(crate) mod strided_copy;

use crate::memory::{Operands, Scratch, ScratchSize, SharedSlice};
use crate::program::StepPrecision;
use crate::simd::{Isa, Simd, SimdTask};
use std::ops::Range;

/// Computes a value of one image on one thread.
pub(crate) trait SerialKernel<T>: Send + Sync {
    /// Overwrites every element of `y` with the result for the operands `x`.
    fn run(&self, x: &Operands<'_>, y: &mut [T], scratch: &mut Scratch);

    /// The scratch memory that `run` needs.
    fn scratch(&self) -> ScratchSize {
        ScratchSize::default()
    }
}

/// Computes a value on several threads, each a slice of the work. One of `run_image` and
/// `run_images` is to be implemented.
pub(crate) trait ParallelKernel: Send + Sync {
    /// Computes one slice of the work for one image. All slices together write every element of
    /// the output once, and the sign bits that the kernel saves.
    fn run_image(&self, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        self.run_images(std::slice::from_ref(image), worker);
    }

    /// Computes one slice of the work for several images. The result for an image does not depend
    /// on the others, to the last bit.
    fn run_images(&self, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
        images
            .iter()
            .for_each(|image| self.run_image(image, worker));
    }

    /// The number of images per call at which the kernel is fastest.
    fn images_at_a_time(&self) -> usize {
        1
    }

    /// The scratch memory of a thread.
    fn scratch(&self) -> ScratchSize {
        ScratchSize::default()
    }

    /// The precision of its products.
    fn precision(&self) -> StepPrecision {
        StepPrecision::F32
    }
}

/// A [`ParallelKernel`] whose body is compiled once per instruction set. The methods that take a
/// [`Simd`] are to be marked `#[inline(always)]`; one of them is to be implemented.
pub(crate) trait SimdKernel: Send + Sync {
    fn isa(&self) -> Isa;

    /// As [`ParallelKernel::run_image`].
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        self.run_images(simd, std::slice::from_ref(image), worker);
    }

    /// As [`ParallelKernel::run_images`].
    #[inline(always)]
    fn run_images<S: Simd>(&self, simd: S, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
        for image in images {
            self.run_image(simd, image, worker);
        }
    }

    /// As [`ParallelKernel::images_at_a_time`].
    fn images_at_a_time(&self) -> usize {
        1
    }

    /// As [`ParallelKernel::scratch`].
    fn scratch(&self) -> ScratchSize {
        ScratchSize::default()
    }

    /// As [`ParallelKernel::precision`].
    fn precision(&self) -> StepPrecision {
        StepPrecision::F32
    }
}

impl<K: SimdKernel> ParallelKernel for K {
    fn run_images(&self, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
        self.isa().dispatch(KernelTask(self, images, worker));
    }

    fn images_at_a_time(&self) -> usize {
        SimdKernel::images_at_a_time(self)
    }

    fn scratch(&self) -> ScratchSize {
        SimdKernel::scratch(self)
    }

    fn precision(&self) -> StepPrecision {
        SimdKernel::precision(self)
    }
}

/// A call of [`SimdKernel::run_images`].
struct KernelTask<'a, 'b, K>(&'a K, &'a [ImageIo<'a>], &'a mut Worker<'b>);

impl<K: SimdKernel> SimdTask for KernelTask<'_, '_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.0.run_images(simd, self.1, self.2);
    }
}

/// A thread that runs a kernel: its slice of the work, and its scratch memory.
pub(crate) struct Worker<'a> {
    pub(crate) slice: WorkSlice,
    pub(crate) scratch: &'a mut Scratch,
}

/// The most images per call of a [`ParallelKernel`].
const MAX_IMAGES: usize = 4;

/// The operands and the output of a kernel for one image.
pub(crate) struct ImageIo<'a> {
    pub(crate) x: Operands<'a>,
    pub(crate) y: KernelOutput<'a>,
}

/// The memory that a [`ParallelKernel`] writes.
#[derive(Clone, Copy)]
pub(crate) struct KernelOutput<'a> {
    pub(crate) floats: SharedSlice<'a, f32>,
    /// The sign bits that the prologue saves.
    pub(crate) prologue_signs: Option<SharedSlice<'a, u8>>,
    /// The sign bits that the epilogue saves.
    pub(crate) epilogue_signs: Option<SharedSlice<'a, u8>>,
}

/// One of `count` slices into which the work is partitioned, one per thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorkSlice {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl WorkSlice {
    /// All of the work.
    pub(crate) const WHOLE: Self = Self { index: 0, count: 1 };

    /// The slice of a thread of a pool.
    pub(crate) fn of_thread(thread: &rayon::BroadcastContext<'_>) -> Self {
        Self {
            index: thread.index(),
            count: thread.num_threads(),
        }
    }

    /// The slice's range of `n` work items.
    pub(crate) fn of(self, n: usize) -> Range<usize> {
        let start = |index: usize| (n as u128 * index as u128 / self.count as u128) as usize;
        start(self.index)..start(self.index + 1)
    }
}

/// A kernel by the type of its output.
pub(crate) enum AnyKernel {
    Float(Box<dyn SerialKernel<f32>>),
    Int(Box<dyn SerialKernel<i64>>),
    Bool(Box<dyn SerialKernel<bool>>),
    Parallel(Box<dyn ParallelKernel>),
}

impl AnyKernel {
    pub(crate) fn float(kernel: impl SerialKernel<f32> + 'static) -> Self {
        Self::Float(Box::new(kernel))
    }

    pub(crate) fn int(kernel: impl SerialKernel<i64> + 'static) -> Self {
        Self::Int(Box::new(kernel))
    }

    pub(crate) fn bool(kernel: impl SerialKernel<bool> + 'static) -> Self {
        Self::Bool(Box::new(kernel))
    }

    pub(crate) fn parallel(kernel: impl ParallelKernel + 'static) -> Self {
        Self::Parallel(Box::new(kernel))
    }

    pub(crate) fn images_at_a_time(&self) -> usize {
        match self {
            Self::Parallel(kernel) => kernel.images_at_a_time(),
            _ => 1,
        }
    }

    pub(crate) fn precision(&self) -> StepPrecision {
        match self {
            Self::Parallel(kernel) => kernel.precision(),
            _ => StepPrecision::F32,
        }
    }

    pub(crate) fn scratch(&self) -> ScratchSize {
        match self {
            Self::Float(kernel) => kernel.scratch(),
            Self::Int(kernel) => kernel.scratch(),
            Self::Bool(kernel) => kernel.scratch(),
            Self::Parallel(kernel) => kernel.scratch(),
        }
    }
}
