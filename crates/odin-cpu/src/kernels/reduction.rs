//! Reductions to sums and maxima, bit-identical for every vector length.
#![allow(unsafe_code)]

use crate::simd::{Simd, math};

/// Element `i` is accumulated in partial result `i % WIDTH`: enough independent chains to hide the
/// latency of an addition.
const WIDTH: usize = 64;
/// The columns of [`Accumulator::columns`].
pub(crate) const COLUMNS: usize = WIDTH;
/// Vectors that hold all partial results with the fewest lanes.
const VECTORS: usize = 8;

/// The operator of a reduction.
pub(crate) trait Combine: Copy {
    /// The identity element.
    const IDENTITY: f32;
    /// To be marked `#[inline(always)]`.
    fn combine<S: Simd>(self, simd: S, a: S::Vector, b: S::Vector) -> S::Vector;
}

/// As [`Combine`], of two scalars.
pub(crate) trait CombineScalars: Combine {
    fn combine_scalars(self, a: f32, b: f32) -> f32;
}

#[derive(Clone, Copy)]
pub(crate) struct Sum;

impl Combine for Sum {
    const IDENTITY: f32 = 0.0;

    #[inline(always)]
    fn combine<S: Simd>(self, simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
        simd.add(a, b)
    }
}

impl CombineScalars for Sum {
    #[inline(always)]
    fn combine_scalars(self, a: f32, b: f32) -> f32 {
        a + b
    }
}

/// Ignores NaN.
#[derive(Clone, Copy)]
pub(crate) struct Max;

impl Combine for Max {
    const IDENTITY: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn combine<S: Simd>(self, simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
        simd.select(simd.gt(b, a), b, a)
    }
}

impl CombineScalars for Max {
    #[inline(always)]
    fn combine_scalars(self, a: f32, b: f32) -> f32 {
        if b > a { b } else { a }
    }
}

/// NaN is larger than every number.
#[derive(Clone, Copy)]
pub(crate) struct MaxOrNan;

impl Combine for MaxOrNan {
    const IDENTITY: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn combine<S: Simd>(self, simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
        math::max(simd, a, b)
    }
}

/// Combines each element of `x` into that of `y`.
#[inline(always)]
pub(crate) fn combine_into<S: Simd, F: Combine>(simd: S, combine: F, y: &mut [f32], x: &[f32]) {
    let len = y.len().min(x.len());
    let (x, y, rest) = (x.as_ptr(), y.as_mut_ptr(), len % S::LANES);
    for i in (0..len - rest).step_by(S::LANES) {
        // SAFETY: a whole vector inside of both.
        unsafe {
            simd.store(
                y.add(i),
                combine.combine(simd, simd.load(y.add(i)), simd.load(x.add(i))),
            )
        };
    }
    if rest > 0 {
        // SAFETY: the last elements of the shorter one.
        unsafe {
            let (x, y) = (x.add(len - rest), y.add(len - rest));
            let (a, b) = (simd.load_first(rest, y), simd.load_first(rest, x));
            simd.store_first(rest, y, combine.combine(simd, a, b));
        }
    }
}

/// Partial results of a reduction.
pub(crate) struct Accumulator<S: Simd, F: CombineScalars> {
    simd: S,
    combine: F,
    vectors: [S::Vector; VECTORS],
}

impl<S: Simd, F: CombineScalars> Accumulator<S, F> {
    #[inline(always)]
    pub(crate) fn new(simd: S, combine: F) -> Self {
        let vectors = [simd.splat(F::IDENTITY); VECTORS];
        Self {
            simd,
            combine,
            vectors,
        }
    }

    /// Accumulates a run of elements.
    #[inline(always)]
    pub(crate) fn extend(&mut self, x: &[f32]) {
        let mut whole = x.chunks_exact(WIDTH);
        for chunk in &mut whole {
            self.push(chunk);
        }
        let rest = whole.remainder();
        if !rest.is_empty() {
            let mut padded = [F::IDENTITY; WIDTH];
            padded[..rest.len()].copy_from_slice(rest);
            self.push(&padded);
        }
    }

    #[inline(always)]
    fn push(&mut self, chunk: &[f32]) {
        assert!(chunk.len() == WIDTH);
        for (i, vector) in self.vectors.iter_mut().enumerate().take(WIDTH / S::LANES) {
            // SAFETY: vector `i` is inside of the chunk, by the assertion.
            let x = unsafe { self.simd.load(chunk.as_ptr().add(i * S::LANES)) };
            *vector = self.combine.combine(self.simd, *vector, x);
        }
    }

    /// The partial results; the columns of a matrix if each run was one row of it.
    #[inline(always)]
    pub(crate) fn columns(self) -> [f32; COLUMNS] {
        let mut all = [F::IDENTITY; WIDTH];
        for (i, &vector) in self.vectors.iter().enumerate().take(WIDTH / S::LANES) {
            // SAFETY: vector `i` is inside of the array.
            unsafe { self.simd.store(all.as_mut_ptr().add(i * S::LANES), vector) };
        }
        all
    }

    /// Combines the partial results pairwise, halving their number until one is left.
    #[inline(always)]
    pub(crate) fn finish(self) -> f32 {
        let combine = self.combine;
        let mut all = self.columns();
        let mut width = WIDTH / 2;
        while width > 0 {
            for i in 0..width {
                all[i] = combine.combine_scalars(all[i], all[i + width]);
            }
            width /= 2;
        }
        all[0]
    }
}
