//! AVX-512 BF16: a vector of 16 sums, to each of which the product of a pair is added.
#![allow(unsafe_code)]

use super::{Channels, LeftRows, PairTarget, TILE, TileProduct, convert};
use std::arch::x86_64::*;

/// Constructed only if the processor has AVX-512F, AVX-512BW and AVX-512 BF16.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(());

/// Rows that are multiplied at a time, and column tiles: 16 accumulators, whose additions overlap.
const ROWS: usize = 8;
const COLUMNS: usize = 2;

impl Avx512Bf16 {
    pub(crate) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16");
        has.then_some(Self(()))
    }

    /// Whether its products take as long as those of f32, of which it computes twice as many at a time:
    /// so it is on Intel's processors, which have half of the units for it.
    pub(crate) fn has_rate_of_f32(self) -> bool {
        let vendor = __cpuid(0);
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        name.as_flattened() == b"GenuineIntel"
    }

    /// # Safety
    /// As [`super::Bf16Isa::multiply`] asserts.
    pub(crate) unsafe fn multiply(self, product: &TileProduct<'_>, sums: *mut f32, stride: usize) {
        // SAFETY: the processor has the instructions; by the contract.
        unsafe { multiply(product, sums, stride) }
    }

    /// # Safety
    /// As [`super::Bf16Isa::pack_pairs`].
    pub(crate) unsafe fn pack_pairs(self, from: &Channels, to: PairTarget) {
        // SAFETY: the processor has the instructions; by the contract.
        unsafe { convert::pack_pairs(from, to) }
    }

    /// # Safety
    /// As [`super::Bf16Isa::pack_left`].
    pub(crate) unsafe fn pack_left(self, from: &LeftRows, to: [*mut f32; 2]) {
        // SAFETY: the processor has the instructions; by the contract.
        unsafe { convert::pack_left(from, to) }
    }
}

/// # Safety
/// As [`super::Bf16Isa::multiply`] asserts.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn multiply(product: &TileProduct<'_>, sums: *mut f32, stride: usize) {
    let TileProduct {
        shape,
        row_tiles,
        column_tiles,
        ..
    } = *product;
    for column in (0..column_tiles).step_by(COLUMNS) {
        for row_tile in 0..row_tiles {
            for row in (0..shape.rows).step_by(ROWS) {
                let at = Position {
                    row_tile,
                    row,
                    column,
                };
                // SAFETY: by the contract, the position is inside of the product.
                unsafe {
                    let to = sums.add((row_tile * shape.rows + row) * stride + column * TILE);
                    let two = column + 1 < column_tiles;
                    match (shape.rows - row, two) {
                        (ROWS.., true) => register_tile::<ROWS, 2>(product, at, to, stride),
                        (ROWS.., false) => register_tile::<ROWS, 1>(product, at, to, stride),
                        (rest, true) => rows::<2>(rest, product, at, to, stride),
                        (rest, false) => rows::<1>(rest, product, at, to, stride),
                    }
                }
            }
        }
    }
}

/// The first row and the first column tile of a register tile.
#[derive(Clone, Copy)]
struct Position {
    row_tile: usize,
    row: usize,
    column: usize,
}

/// Fewer than [`ROWS`] rows.
///
/// # Safety
/// As [`register_tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn rows<const V: usize>(
    rest: usize,
    product: &TileProduct<'_>,
    mut at: Position,
    mut to: *mut f32,
    stride: usize,
) {
    let end = at.row + rest;
    while at.row < end {
        // SAFETY: by the contract.
        unsafe {
            let done = match end - at.row {
                4.. => {
                    register_tile::<4, V>(product, at, to, stride);
                    4
                }
                _ => {
                    register_tile::<1, V>(product, at, to, stride);
                    1
                }
            };
            at.row += done;
            to = to.add(done * stride);
        }
    }
}

/// `H` rows times `V` column tiles.
///
/// # Safety
/// The rows and columns are inside of the product; `to` is valid for writing them.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn register_tile<const H: usize, const V: usize>(
    product: &TileProduct<'_>,
    at: Position,
    to: *mut f32,
    stride: usize,
) {
    let (shape, layout) = (product.shape, product.layout);
    let mut sums = [[_mm512_setzero_ps(); V]; H];
    for &[left, right] in product.terms() {
        // SAFETY: by the contract; a block is a tile of the left operand and `pairs` rows of the
        // right one.
        unsafe {
            let row = at.row_tile * shape.left() + at.row * TILE;
            let mut a = product.left[left].as_ptr().add(row);
            let first = product.right[right]
                .as_ptr()
                .add(at.column * layout.tile_stride);
            for &offset in layout.offsets {
                let mut b = first.add(offset as usize);
                for pair in 0..shape.pairs {
                    let mut x = [_mm512_setzero_si512(); V];
                    for (v, x) in x.iter_mut().enumerate() {
                        *x = _mm512_loadu_si512(b.add(v * layout.tile_stride).cast());
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let weight = _mm512_set1_epi32((*a.add(r * TILE + pair)).to_bits() as i32);
                        for (sum, &x) in sums.iter_mut().zip(&x) {
                            *sum = _mm512_dpbf16_ps(*sum, as_bf16(weight), as_bf16(x));
                        }
                    }
                    b = b.wrapping_add(layout.row_stride);
                }
                a = a.wrapping_add(TILE * TILE);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            // SAFETY: by the contract.
            unsafe { _mm512_storeu_ps(to.add(r * stride + v * TILE), sum) };
        }
    }
}

#[target_feature(enable = "avx512f")]
fn as_bf16(x: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes, of which any are valid.
    unsafe { std::mem::transmute(x) }
}
