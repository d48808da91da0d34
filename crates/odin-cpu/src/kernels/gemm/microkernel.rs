//! The microkernel: a register tile of a matrix product, on which all heavy operators are built.
//!
//! `c[m, n] = Σ_k a[m, k] · b[k, n]`, where each row `k` of `b` begins at an offset of its own.
//! With offsets into a padded image, the product is a convolution without im2col.
//!
//! Each sum is accumulated over `k` in order, in one accumulator, wherever its tile lies. A result
//! therefore depends neither on the partition of the columns, nor on the number of threads.
#![allow(unsafe_code)]

use crate::kernels::gemm::prefetch::Prefetch;
use crate::simd::{MAX_TILE_VECTORS, Simd};
use std::ops::Range;

/// The right operand of a tile.
#[derive(Clone, Copy)]
pub(crate) struct ColumnPanel<'a> {
    /// The elements.
    pub(crate) b: &'a [f32],
    /// For each `k` where its row begins, counted from `first`.
    pub(crate) offsets: &'a [u32],
    pub(crate) first: usize,
    /// The number of columns. Up to `MAX_LANES - 1` more are read and computed.
    pub(crate) count: usize,
    /// The largest of `offsets`.
    pub(crate) last_offset: usize,
    /// Whether to accumulate onto `c`, rather than start from 0.
    pub(crate) accumulate: bool,
    /// What to prefetch meanwhile.
    pub(crate) prefetches: [Prefetch<'a>; 3],
}

/// Computes `c [height, stride]` for a tile. `c` has room for the columns in whole vectors of the
/// longest kind.
#[inline(always)]
pub(crate) fn multiply_tile<S: Simd>(
    simd: S,
    height: usize,
    a: &[f32],
    x: &ColumnPanel<'_>,
    c: &mut [f32],
    stride: usize,
) {
    let vectors = x.count.div_ceil(S::LANES);
    let columns = vectors * S::LANES;
    assert!(columns <= stride && height * stride <= c.len());
    assert!(height * x.offsets.len() <= a.len());
    assert!(x.first + x.last_offset + columns <= x.b.len());
    let prefetches = x
        .prefetches
        .iter()
        .any(|prefetch| !prefetch.lines.is_empty());
    // SAFETY: by the assertions, every element that `multiply_columns` reads and writes is in
    // bounds.
    unsafe {
        match prefetches {
            true => multiply_height::<S, true>(simd, height, a, x, vectors, c, stride),
            false => multiply_height::<S, false>(simd, height, a, x, vectors, c, stride),
        }
    }
}

/// # Safety
/// As for [`multiply_columns`].
#[inline(always)]
unsafe fn multiply_height<S: Simd, const PREFETCH: bool>(
    simd: S,
    height: usize,
    a: &[f32],
    x: &ColumnPanel<'_>,
    vectors: usize,
    c: &mut [f32],
    stride: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        match height {
            12 => multiply_columns::<S, 12, PREFETCH>(simd, a, x, vectors, c, stride),
            8 => multiply_columns::<S, 8, PREFETCH>(simd, a, x, vectors, c, stride),
            6 => multiply_columns::<S, 6, PREFETCH>(simd, a, x, vectors, c, stride),
            4 => multiply_columns::<S, 4, PREFETCH>(simd, a, x, vectors, c, stride),
            3 => multiply_columns::<S, 3, PREFETCH>(simd, a, x, vectors, c, stride),
            2 => multiply_columns::<S, 2, PREFETCH>(simd, a, x, vectors, c, stride),
            _ => multiply_columns::<S, 1, PREFETCH>(simd, a, x, vectors, c, stride),
        }
    }
}

/// # Safety
/// `a` holds `H` elements per offset; behind each offset `b` holds `vectors` vectors from `first`;
/// `c` holds `H` rows of `stride` elements, which is at least `vectors` vectors.
#[inline(always)]
unsafe fn multiply_columns<S: Simd, const H: usize, const PREFETCH: bool>(
    simd: S,
    a: &[f32],
    x: &ColumnPanel<'_>,
    vectors: usize,
    c: &mut [f32],
    stride: usize,
) {
    if !S::TILE_HEIGHTS.contains(&H) {
        return;
    }
    for (index, part) in split(vectors, S::tile_vectors(H)).enumerate() {
        let column = part.start * S::LANES;
        // SAFETY: the vectors of a part are among `vectors`.
        unsafe {
            let b = x.b.as_ptr().add(x.first + column);
            let c = c.as_mut_ptr().add(column);
            let args = TileArgs {
                a: a.as_ptr(),
                offsets: x.offsets,
                b,
                accumulate: x.accumulate,
                prefetches: &x.prefetches,
                first_line: index * x.offsets.len(),
            };
            match part.len() {
                4 if S::tile_vectors(H) >= 4 => {
                    register_tile::<S, H, 4, PREFETCH>(simd, &args, c, stride)
                }
                3 if S::tile_vectors(H) >= 3 => {
                    register_tile::<S, H, 3, PREFETCH>(simd, &args, c, stride)
                }
                2 if S::tile_vectors(H) >= 2 => {
                    register_tile::<S, H, 2, PREFETCH>(simd, &args, c, stride)
                }
                _ => register_tile::<S, H, 1, PREFETCH>(simd, &args, c, stride),
            }
        }
    }
}

/// The arguments of a register tile, see [`ColumnPanel`].
struct TileArgs<'a> {
    a: *const f32,
    offsets: &'a [u32],
    b: *const f32,
    accumulate: bool,
    prefetches: &'a [Prefetch<'a>; 3],
    /// The first of the cache lines that this tile prefetches.
    first_line: usize,
}

impl TileArgs<'_> {
    /// The number of iterations that prefetch.
    #[inline(always)]
    fn prefetch_iterations(&self) -> usize {
        let lines = self
            .prefetches
            .iter()
            .map(|prefetch| prefetch.lines.len())
            .max();
        let left = lines.unwrap_or(0).saturating_sub(self.first_line);
        left.min(self.offsets.len())
    }
}

/// Splits `vectors` into the fewest parts of at most `widest`, of nearly equal length.
#[inline(always)]
fn split(vectors: usize, widest: usize) -> impl Iterator<Item = Range<usize>> {
    debug_assert!(widest <= MAX_TILE_VECTORS);
    let count = vectors.div_ceil(widest).max(1);
    let (length, longer) = (vectors / count, vectors % count);
    let start = move |part: usize| part * length + part.min(longer);
    (0..count).map(move |part| start(part)..start(part + 1))
}

/// The prefetch distance in rows of elements, which are too far apart for the hardware prefetcher.
const ROW_PREFETCH_DISTANCE: usize = 8;
/// The prefetch distance in weights. They come from memory where no other image has just used them,
/// and the hardware prefetcher stops at page boundaries.
const WEIGHT_PREFETCH_DISTANCE: usize = 1024;

/// A register tile: `H` rows times `V` vectors.
///
/// # Safety
/// As for [`multiply_columns`], with `b` and `c` at the first vector.
#[inline(always)]
unsafe fn register_tile<S: Simd, const H: usize, const V: usize, const PREFETCH: bool>(
    simd: S,
    args: &TileArgs<'_>,
    c: *mut f32,
    stride: usize,
) {
    let mut sums = [[simd.splat(0.0); V]; H];
    if args.accumulate {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: by the contract.
                *sum = unsafe { simd.load(c.add(r * stride + v * S::LANES)) };
            }
        }
    }
    let prefetched = if PREFETCH {
        args.prefetch_iterations()
    } else {
        0
    };
    for k in 0..prefetched {
        for prefetch in args.prefetches {
            if let Some(&line) = prefetch.lines.get(args.first_line + k) {
                simd.prefetch_l2(prefetch.base.wrapping_add(line as usize));
            }
        }
        // SAFETY: by the contract.
        unsafe { rank_1_update(simd, args, k, &mut sums) };
    }
    for k in prefetched..args.offsets.len() {
        // SAFETY: by the contract.
        unsafe { rank_1_update(simd, args, k, &mut sums) };
    }
    for (r, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            // SAFETY: by the contract.
            unsafe { simd.store(c.add(r * stride + v * S::LANES), sum) };
        }
    }
}

/// A rank-1 update: adds the product of the `k`-th column of weights and the `k`-th row of
/// elements.
///
/// # Safety
/// As for [`register_tile`].
#[inline(always)]
unsafe fn rank_1_update<S: Simd, const H: usize, const V: usize>(
    simd: S,
    args: &TileArgs<'_>,
    k: usize,
    sums: &mut [[S::Vector; V]; H],
) {
    let offsets = args.offsets;
    let ahead = offsets[(k + ROW_PREFETCH_DISTANCE).min(offsets.len() - 1)] as usize;
    // SAFETY: by the contract; prefetched addresses need not be valid.
    unsafe {
        let (a, b) = (args.a.add(k * H), args.b.add(offsets[k] as usize));
        simd.prefetch_l1(a.wrapping_add(WEIGHT_PREFETCH_DISTANCE));
        for v in 0..V {
            simd.prefetch_l1(args.b.wrapping_add(ahead + v * S::LANES));
        }
        let mut x = [simd.splat(0.0); V];
        for (v, x) in x.iter_mut().enumerate() {
            *x = simd.load(b.add(v * S::LANES));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let weight = simd.splat(*a.add(r));
            for (sum, &x) in sums.iter_mut().zip(&x) {
                *sum = simd.mul_add(weight, x, *sum);
            }
        }
    }
}
