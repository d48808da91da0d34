//! The product that all heavy operators come down to: rows of weights times columns of elements.
//!
//! `c[m, n] = Σ_k a[m, k] · b[k, n]`, where row `k` of `b` begins at an offset of its own. With
//! offsets that point into a padded image, the product is a convolution that never unfolds it.
//!
//! Each sum is formed over `k` in order, in one accumulator, wherever its tile lies. A result
//! therefore depends neither on how the columns were cut, nor on how many threads did it.
#![allow(unsafe_code)]

use crate::simd::{Isa, LONGEST, Simd, WIDEST, Work};
use crate::workspace::Aligned;
use std::ops::Range;

/// A matrix `[rows, depth]` cut into tiles of rows, each stored column by column.
#[derive(Default)]
pub(crate) struct Packed {
    tiles: Vec<Tile>,
    data: Aligned,
    /// Elements of a matrix.
    size: usize,
}

/// Some neighbouring rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    pub(crate) row: usize,
    pub(crate) height: usize,
    /// Where it begins in the packed matrix.
    start: usize,
}

impl Packed {
    /// Packs `matrix(row, k)`; `None` if there is no memory for it.
    pub(crate) fn new(
        isa: Isa,
        rows: usize,
        depth: usize,
        matrix: impl Fn(usize, usize) -> f32,
    ) -> Option<Self> {
        let mut data = Aligned::zeros(rows.checked_mul(depth)?)?;
        let tiles = tiles(isa, rows, depth);
        let packed = data.as_mut_slice();
        for tile in &tiles {
            for k in 0..depth {
                for r in 0..tile.height {
                    packed[tile.start + k * tile.height + r] = matrix(tile.row + r, k);
                }
            }
        }
        Some(Self {
            tiles,
            data,
            size: rows * depth,
        })
    }

    /// Packs `count` matrices `[rows, depth]` one after the other, of which
    /// `matrices(row, k, entries)` gives the entries; `None` if there is no memory for them.
    pub(crate) fn several(
        isa: Isa,
        [rows, depth]: [usize; 2],
        count: usize,
        matrices: impl Fn(usize, usize, &mut [f32]),
    ) -> Option<Self> {
        let size = rows.checked_mul(depth)?;
        let mut data = Aligned::zeros(size.checked_mul(count)?)?;
        let tiles = tiles(isa, rows, depth);
        let packed = data.as_mut_slice();
        let mut entries = vec![0.0; count];
        for tile in &tiles {
            for k in 0..depth {
                for r in 0..tile.height {
                    matrices(tile.row + r, k, &mut entries);
                    let own = packed[tile.start + k * tile.height + r..].iter_mut();
                    own.step_by(size.max(1))
                        .zip(&entries)
                        .for_each(|(packed, entry)| *packed = *entry);
                }
            }
        }
        Some(Self { tiles, data, size })
    }

    /// Of one of several matrices, the rows of a tile, column by column.
    pub(crate) fn tile_of(&self, matrix: usize, tile: Tile) -> &[f32] {
        &self.data.as_slice()[matrix * self.size + tile.start..]
    }

    /// Of the highest tile.
    pub(crate) fn height(&self) -> usize {
        self.tiles.iter().map(|tile| tile.height).max().unwrap_or(0)
    }

    pub(crate) fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// The rows of a tile, column by column.
    pub(crate) fn tile(&self, tile: Tile) -> &[f32] {
        &self.data.as_slice()[tile.start..]
    }
}

/// Cuts rows into tiles of the heights that the instruction set likes.
pub(crate) fn tiles(isa: Isa, rows: usize, depth: usize) -> Vec<Tile> {
    let mut row = 0;
    let place = |height| {
        let tile = Tile {
            row,
            height,
            start: row * depth,
        };
        row += height;
        tile
    };
    isa.run(Heights(rows)).into_iter().map(place).collect()
}

struct Heights(usize);

impl Work for Heights {
    type Output = Vec<usize>;

    /// The fewest tiles; of those, the lowest.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Vec<usize> {
        let cut = |tallest: usize| {
            let (mut rest, mut heights) = (self.0, Vec::new());
            for &height in S::HEIGHTS.iter().filter(|&&h| h <= tallest) {
                heights.extend(std::iter::repeat_n(height, rest / height));
                rest %= height;
            }
            heights
        };
        let cuts = S::HEIGHTS.iter().rev().map(|&tallest| cut(tallest));
        cuts.min_by_key(Vec::len).unwrap_or_default()
    }
}

/// The columns that a tile is multiplied with, and where the sums go.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    /// The elements.
    pub(crate) b: &'a [f32],
    /// For each `k`, where its row begins, counted from `first`.
    pub(crate) offsets: &'a [u32],
    pub(crate) first: usize,
    /// How many columns are wanted. Up to `LONGEST - 1` more are read and computed.
    pub(crate) count: usize,
    /// The largest of `offsets`.
    pub(crate) last_offset: usize,
    /// Whether the sums begin with what is there, rather than with 0.
    pub(crate) continued: bool,
    /// What the caller needs afterwards.
    pub(crate) soon: [Wanted<'a>; 3],
}

/// Cache lines that are asked for while a product is formed, one by one: it needs little from far
/// away, and many at once would be in each other's way.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Where they are counted from: an element that need not exist.
    pub(crate) start: *const f32,
    pub(crate) lines: &'a [u32],
}

impl Wanted<'_> {
    pub(crate) const NOTHING: Self = Self {
        start: std::ptr::null(),
        lines: &[],
    };
}

/// The cache lines of `len` elements in each of some rows.
pub(crate) fn lines(rows: usize, row_stride: usize, len: usize) -> Vec<u32> {
    let starts = (0..rows).map(|row| row.saturating_mul(row_stride));
    let of_row = |start: usize| (0..len).step_by(LONGEST).map(move |i| start + i);
    let all = starts.flat_map(of_row);
    // To ask for too little does no harm.
    all.map_while(|line| u32::try_from(line).ok()).collect()
}

/// Computes `c [height, stride]` for a tile. `c` has room for the columns rounded up to whole
/// vectors of the longest kind.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    height: usize,
    a: &[f32],
    x: &Columns<'_>,
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
    x: &Columns<'_>,
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
    x: &Columns<'_>,
    vectors: usize,
    c: &mut [f32],
    stride: usize,
) {
    if !S::HEIGHTS.contains(&H) {
        return;
    }
    for (index, part) in parts(vectors, S::width(H)).enumerate() {
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
                4 if S::width(H) >= 4 => tile::<S, H, 4, ASKS>(simd, &part_of, c, stride),
                3 if S::width(H) >= 3 => tile::<S, H, 3, ASKS>(simd, &part_of, c, stride),
                2 if S::width(H) >= 2 => tile::<S, H, 2, ASKS>(simd, &part_of, c, stride),
                _ => tile::<S, H, 1, ASKS>(simd, &part_of, c, stride),
            }
        }
    }
}

/// What some vectors of columns are made of, see [`Columns`].
struct Part<'a> {
    a: *const f32,
    offsets: &'a [u32],
    b: *const f32,
    continued: bool,
    soon: &'a [Wanted<'a>; 3],
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
    debug_assert!(widest <= WIDEST);
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
                simd.prefetch_far(wanted.start.wrapping_add(line as usize));
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
        simd.prefetch(a.wrapping_add(WEIGHTS_AHEAD));
        for v in 0..V {
            simd.prefetch(part.b.wrapping_add(ahead + v * S::LANES));
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
