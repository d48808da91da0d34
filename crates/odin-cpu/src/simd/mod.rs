//! Vectors of floats in the instruction sets of the processor.
//!
//! A value of an instruction set exists only if the processor has it: its constructor checks. Code
//! that is generic over [`Simd`] is compiled once per set, by [`Isa::dispatch`].
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod bf16;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use std::fmt;

/// The lanes of the longest vector. Sign bits are stored in groups of this many.
pub(crate) const MAX_LANES: usize = 16;

/// An instruction set: vectors of `LANES` floats and operations on them.
///
/// The methods are inlined into a function that [`Isa::dispatch`] compiles for the instruction set.
/// Called from elsewhere they are correct, but slow.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector.
    type Vector: Copy;
    /// A Boolean per lane.
    type Mask: Copy;
    /// Lanes of a vector: 8 or 16.
    const LANES: usize;
    /// The heights of register tiles, descending, ending in 1.
    const TILE_HEIGHTS: &'static [usize];
    /// The most vectors in the width of a register tile of a height, at most [`MAX_TILE_VECTORS`].
    fn tile_vectors(height: usize) -> usize;

    /// Prefetches a cache line into the first-level cache. The address need not be valid.
    fn prefetch_l1(self, from: *const f32);
    /// Prefetches a cache line into the second-level cache. The address need not be valid.
    fn prefetch_l2(self, from: *const f32);
    fn splat(self, x: f32) -> Self::Vector;
    /// # Safety
    /// `from` is valid for reading `LANES` elements.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// # Safety
    /// `to` is valid for writing `LANES` elements.
    unsafe fn store(self, to: *mut f32, x: Self::Vector);
    /// The first `n` elements, fewer than `LANES`; the others are 0.
    ///
    /// # Safety
    /// `from` is valid for reading `n` elements.
    unsafe fn load_first(self, n: usize, from: *const f32) -> Self::Vector;
    /// The elements whose bit is set; the others are those of `otherwise`.
    ///
    /// # Safety
    /// `from` is valid for reading each element whose bit is set; the others are not accessed.
    unsafe fn load_where(
        self,
        bits: u16,
        from: *const f32,
        otherwise: Self::Vector,
    ) -> Self::Vector;
    /// Stores the first `n` elements, fewer than `LANES`.
    ///
    /// # Safety
    /// `to` is valid for writing `n` elements.
    unsafe fn store_first(self, n: usize, to: *mut f32, x: Self::Vector);

    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sqrt(self, x: Self::Vector) -> Self::Vector;
    fn abs(self, x: Self::Vector) -> Self::Vector;
    /// `x`, which is at least 0, with the sign of `of`.
    fn with_sign(self, x: Self::Vector, of: Self::Vector) -> Self::Vector;
    /// `2^n` for integers `n` from -126 to 127.
    fn pow2(self, n: Self::Vector) -> Self::Vector;
    /// Mantissa `m` and exponent `n` with `x = m · 2^n` and `m` from `sqrt(1/2)` to `sqrt(2)`, for
    /// normal `x` above 0.
    fn split(self, x: Self::Vector) -> (Self::Vector, Self::Vector);
    /// Whether `a > b`.
    fn gt(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Whether `a >= b`.
    fn ge(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// `mask ? a : b`.
    fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b + c`, rounded once if the processor has the instruction.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `max(x, 0)`; NaN stays NaN.
    fn relu(self, x: Self::Vector) -> Self::Vector;
    /// A bit per lane, lowest first: whether the mask holds.
    fn bits(self, mask: Self::Mask) -> u16;
    /// The elements whose bit is set; 0 elsewhere.
    fn keep_bits(self, bits: u16, x: Self::Vector) -> Self::Vector;
    /// Interleaves the elements of two vectors: the first half of the result, and the second.
    fn interleave(self, a: Self::Vector, b: Self::Vector) -> (Self::Vector, Self::Vector);
    /// Deinterleaves the elements of two vectors, taken as one sequence: those of even index, and
    /// those of odd index.
    fn deinterleave(self, a: Self::Vector, b: Self::Vector) -> (Self::Vector, Self::Vector);

    /// A bit per lane, lowest first: whether the element is positive.
    #[inline(always)]
    fn positive(self, x: Self::Vector) -> u16 {
        self.bits(self.gt(x, self.splat(0.0)))
    }

    /// Interleaves the elements of `M` vectors, 1, 2 or 4.
    #[inline(always)]
    fn interleave_all<const M: usize>(self, x: [Self::Vector; M]) -> [Self::Vector; M] {
        let mut y = x;
        match M {
            2 => (y[0], y[1]) = self.interleave(x[0], x[1]),
            4 => {
                let (even, odd) = (self.interleave(x[0], x[2]), self.interleave(x[1], x[3]));
                (y[0], y[1]) = self.interleave(even.0, odd.0);
                (y[2], y[3]) = self.interleave(even.1, odd.1);
            }
            _ => debug_assert!(M == 1),
        }
        y
    }

    /// Deinterleaves the elements of `M` vectors, 1, 2 or 4, taken as one sequence: vector `i` of
    /// the result has those of index `i` modulo `M`.
    #[inline(always)]
    fn deinterleave_all<const M: usize>(self, x: [Self::Vector; M]) -> [Self::Vector; M] {
        let mut y = x;
        match M {
            2 => (y[0], y[1]) = self.deinterleave(x[0], x[1]),
            4 => {
                let (low, high) = (self.deinterleave(x[0], x[1]), self.deinterleave(x[2], x[3]));
                (y[0], y[2]) = self.deinterleave(low.0, high.0);
                (y[1], y[3]) = self.deinterleave(low.1, high.1);
            }
            _ => debug_assert!(M == 1),
        }
        y
    }
}

/// Stores the first `n` elements, or a whole vector if it is shorter.
///
/// # Safety
/// `to` is valid for writing `n` elements, or a vector if that is less.
#[inline(always)]
pub(crate) unsafe fn store_up_to<S: Simd>(simd: S, n: usize, to: *mut f32, x: S::Vector) {
    // SAFETY: by the contract.
    unsafe {
        match n >= S::LANES {
            true => simd.store(to, x),
            false => simd.store_first(n, to, x),
        }
    }
}

/// Loads the first `n` elements, with zeros behind, or a whole vector if it is shorter.
///
/// # Safety
/// `from` is valid for reading `n` elements, or a vector if that is less.
#[inline(always)]
pub(crate) unsafe fn load_up_to<S: Simd>(simd: S, n: usize, from: *const f32) -> S::Vector {
    // SAFETY: by the contract.
    unsafe {
        match n >= S::LANES {
            true => simd.load(from),
            false => simd.load_first(n, from),
        }
    }
}

/// The bits of `sqrt(1/2)`, the lower end of [`Simd::split`]'s mantissas.
const SQRT_HALF: i32 = 0x3f35_04f3;
/// The mantissa bits of a float, and the bias of its exponent.
const MANTISSA: u32 = 23;
const BIAS: i32 = 127;

/// The most vectors in the width of a register tile.
pub(crate) const MAX_TILE_VECTORS: usize = 4;

/// An instruction set that the processor has.
#[derive(Clone, Copy)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Portable(portable::Portable),
}

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy)]
pub struct InstructionSet(pub(crate) Isa);

impl InstructionSet {
    /// All that the processor has and the engine supports, fastest first. The last one is portable
    /// and always available.
    pub fn available() -> Vec<Self> {
        Isa::available().into_iter().map(Self).collect()
    }
}

impl PartialEq for InstructionSet {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

/// Code that is compiled for each instruction set.
pub(crate) trait SimdTask {
    type Output;
    /// To be marked `#[inline(always)]`, like everything it calls that uses vectors.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Isa {
    /// All that the processor has, fastest first.
    pub(crate) fn available() -> Vec<Isa> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(avx512::Avx512::new().map(Isa::Avx512));
            all.extend(avx2::Avx2::new().map(Isa::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::Neon::new().map(Isa::Neon));
        all.push(Isa::Portable(portable::Portable));
        all
    }

    /// The fastest that the processor has.
    pub(crate) fn best() -> Isa {
        let first = Isa::available().first().copied();
        first.unwrap_or(Isa::Portable(portable::Portable))
    }

    /// Runs a task compiled for this set.
    #[inline]
    pub(crate) fn dispatch<T: SimdTask>(self, task: T) -> T::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(simd) => avx512::run(simd, task),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(simd) => avx2::run(simd, task),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(simd) => neon::run(simd, task),
            Isa::Portable(simd) => task.run(simd),
        }
    }

    /// Its conventional name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "AVX2+FMA",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon(_) => "NEON",
            Isa::Portable(_) => "portable",
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
