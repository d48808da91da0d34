//! An epilogue that is not fused with a kernel.

use crate::kernels::epilogue::{Epilogue, Span, StridedPtr};
use crate::kernels::{ImageIo, ParallelKernel, Worker};
use crate::simd::{Isa, MAX_LANES};

/// An [`Epilogue`] applied to operand 0.
pub(crate) struct StandaloneEpilogue {
    pub(crate) isa: Isa,
    pub(crate) epilogue: Epilogue,
    pub(crate) channels: usize,
    /// Elements per channel.
    pub(crate) plane: usize,
}

impl ParallelKernel for StandaloneEpilogue {
    /// Threads partition the channels where there are enough, else groups of elements.
    fn run_image(&self, ImageIo { x, y }: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let StandaloneEpilogue {
            channels, plane, ..
        } = *self;
        let (own, elements) = match channels >= worker.slice.count {
            true => (worker.slice.of(channels), 0..plane),
            false => {
                let own = worker.slice.of(plane.div_ceil(MAX_LANES));
                let at = |group: usize| plane.min(group * MAX_LANES);
                (0..channels, at(own.start)..at(own.end))
            }
        };
        let epilogue = self
            .epilogue
            .bind(self.isa, x, y.epilogue_signs, [channels, plane]);
        let from = &x.floats(0)[..channels * plane];
        assert!(y.floats.len() == channels * plane);
        let first = own.start * plane + elements.start;
        let span = Span {
            channels: own,
            first: elements.start,
            len: elements.len(),
        };
        // SAFETY: both hold all channels, by the assertion and the slice; the span is this thread's
        // work slice.
        #[allow(unsafe_code)]
        unsafe {
            let from = from.as_ptr().wrapping_add(first);
            let to = y.floats.start().wrapping_add(first);
            epilogue.apply(
                span,
                StridedPtr::new(from, plane),
                StridedPtr::new(to, plane),
            );
        }
    }
}
