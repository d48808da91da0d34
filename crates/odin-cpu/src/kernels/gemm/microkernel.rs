//! The product that all heavy operators come down to: rows of weights times columns of elements.
//!
//! `c[m, n] = Σ_k a[m, k] · b[k, n]`, where row `k` of `b` begins at an offset of its own. With
//! offsets that point into a padded image, the product is a convolution that never unfolds it.
//!
//! Each sum is formed over `k` in order, in one accumulator, wherever its tile lies. A result
//! therefore depends neither on how the columns were cut, nor on how many threads did it.
#![allow(unsafe_code)]

use crate::kernels::gemm::prefetch::Prefetch;
use crate::simd::{MAX_TILE_VECTORS, Simd};
use std::ops::Range;

/// The columns that a tile is multiplied with, and where the sums go.
#[derive(Clone, Copy)]
pub(crate) struct ColumnPanel<'a> {
    /// The elements.
    pub(crate) b: &'a [f32],
    /// For each `k`, where its row begins, counted from `first`.
    pub(crate) offsets: &'a [u32],
    pub(crate) first: usize,
    /// How many columns are wanted. Up to `MAX_LANES - 1` more are read and computed.
    pub(crate) count: usize,
    /// The largest of `offsets`.
    pub(crate) last_offset: usize,
    /// Whether the sums begin with what is there, rather than with 0.
    pub(crate) continued: bool,
    /// What the caller needs afterwards.
    pub(crate) soon: [Prefetch<'a>; 3],
}

/// Computes `c [height, stride]` for a tile. `c` has room for the columns rounded up to whole
/// vectors of the longest kind.
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
    let asks = x.soon.iter().any(|wanted| !wanted.lines.is_empty());
    // SAFETY: by the assertions, every element that `sweep` reads and writes is inside.
    unsafe {
        match asks {
            true => sweep_height::<S, true>(simd, height, a, x, vectors, c, stride),
            false => sweep_height::<S, false>(simd, height, a, x, vectors, c, stride),
        }
    }
}

/// # Safety
/// As for [`sweep`].
#[inline(always)]
unsafe fn sweep_height<S: Simd, const ASKS: bool>(
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
            12 => sweep::<S, 12, ASKS>(simd, a, x, vectors, c, stride),
            8 => sweep::<S, 8, ASKS>(simd, a, x, vectors, c, stride),
            6 => sweep::<S, 6, ASKS>(simd, a, x, vectors, c, stride),
            4 => sweep::<S, 4, ASKS>(simd, a, x, vectors, c, stride),
            3 => sweep::<S, 3, ASKS>(simd, a, x, vectors, c, stride),
            2 => sweep::<S, 2, ASKS>(simd, a, x, vectors, c, stride),
            _ => sweep::<S, 1, ASKS>(simd, a, x, vectors, c, stride),
        }
    }
}

/// # Safety
/// `a` holds `H` elements for each offset; behind each offset `b` holds `vectors` vectors from
/// `first`; `c` holds `H` rows of `stride` elements, which is at least `vectors` vectors.
#[inline(always)]
unsafe fn sweep<S: Simd, const H: usize, const ASKS: bool>(
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
    for (index, part) in parts(vectors, S::tile_vectors(H)).enumerate() {
        let column = part.start * S::LANES;
        // SAFETY: the vectors of a part are among `vectors`.
        unsafe {
            let b = x.b.as_ptr().add(x.first + column);
            let c = c.as_mut_ptr().add(column);
            let part_of = Part {
                a: a.as_ptr(),
                offsets: x.offsets,
                b,
                continued: x.continued,
                soon: &x.soon,
                first_line: index * x.offsets.len(),
            };
            match part.len() {
                4 if S::tile_vectors(H) >= 4 => tile::<S, H, 4, ASKS>(simd, &part_of, c, stride),
                3 if S::tile_vectors(H) >= 3 => tile::<S, H, 3, ASKS>(simd, &part_of, c, stride),
                2 if S::tile_vectors(H) >= 2 => tile::<S, H, 2, ASKS>(simd, &part_of, c, stride),
                _ => tile::<S, H, 1, ASKS>(simd, &part_of, c, stride),
            }
        }
    }
}

/// What some vectors of columns are made of, see [`ColumnPanel`].
struct Part<'a> {
    a: *const f32,
    offsets: &'a [u32],
    b: *const f32,
    continued: bool,
    soon: &'a [Prefetch<'a>; 3],
    /// The first of the lines that are asked for.
    first_line: usize,
}

impl Part<'_> {
    /// With how many products lines are asked for.
    #[inline(always)]
    fn asked(&self) -> usize {
        let lines = self.soon.iter().map(|wanted| wanted.lines.len()).max();
        let left = lines.unwrap_or(0).saturating_sub(self.first_line);
        left.min(self.offsets.len())
    }
}

/// `vectors` in the fewest parts of at most `widest`, of nearly equal length.
#[inline(always)]
fn parts(vectors: usize, widest: usize) -> impl Iterator<Item = Range<usize>> {
    debug_assert!(widest <= MAX_TILE_VECTORS);
    let count = vectors.div_ceil(widest).max(1);
    let (length, longer) = (vectors / count, vectors % count);
    let start = move |part: usize| part * length + part.min(longer);
    (0..count).map(move |part| start(part)..start(part + 1))
}

/// How many rows of elements ahead are asked for: they are too far apart for the processor to
/// guess.
const AHEAD: usize = 8;
/// How many weights ahead are asked for: they come from far away, where no other image has just
/// used them, and a processor that guesses stops at the end of every page.
const WEIGHTS_AHEAD: usize = 1024;

/// `H` rows times `V` vectors.
///
/// # Safety
/// As for [`sweep`], with `b` and `c` at the first vector.
#[inline(always)]
unsafe fn tile<S: Simd, const H: usize, const V: usize, const ASKS: bool>(
    simd: S,
    part: &Part<'_>,
    c: *mut f32,
    stride: usize,
) {
    let mut sums = [[simd.splat(0.0); V]; H];
    if part.continued {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: by the contract.
                *sum = unsafe { simd.load(c.add(r * stride + v * S::LANES)) };
            }
        }
    }
    let asked = if ASKS { part.asked() } else { 0 };
    for k in 0..asked {
        for wanted in part.soon {
            if let Some(&line) = wanted.lines.get(part.first_line + k) {
                simd.prefetch_l2(wanted.start.wrapping_add(line as usize));
            }
        }
        // SAFETY: by the contract.
        unsafe { add_products(simd, part, k, &mut sums) };
    }
    for k in asked..part.offsets.len() {
        // SAFETY: by the contract.
        unsafe { add_products(simd, part, k, &mut sums) };
    }
    for (r, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            // SAFETY: by the contract.
            unsafe { simd.store(c.add(r * stride + v * S::LANES), sum) };
        }
    }
}

/// Adds the products of the `k`-th column of weights and the `k`-th row of elements.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn add_products<S: Simd, const H: usize, const V: usize>(
    simd: S,
    part: &Part<'_>,
    k: usize,
    sums: &mut [[S::Vector; V]; H],
) {
    let offsets = part.offsets;
    let ahead = offsets[(k + AHEAD).min(offsets.len() - 1)] as usize;
    // SAFETY: by the contract; what is only asked for need not exist.
    unsafe {
        let (a, b) = (part.a.add(k * H), part.b.add(offsets[k] as usize));
        simd.prefetch_l1(a.wrapping_add(WEIGHTS_AHEAD));
        for v in 0..V {
            simd.prefetch_l1(part.b.wrapping_add(ahead + v * S::LANES));
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
