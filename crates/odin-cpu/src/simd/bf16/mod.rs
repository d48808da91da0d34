//! Matrix products of bf16 pairs, accumulated in f32: by AMX tiles, or by AVX-512 BF16.
//!
//! Both read the same packed operands. A *pair* is two neighbouring entries along the depth of a
//! product, as bf16 in one 32-bit word, the first in its low half. The depth is cut into blocks of at
//! most 16 pairs.
//!
//! - The left operand, `[row tile][block][16 rows][16 pairs]`.
//! - The right operand: column tiles of 16 columns, in whose blocks the rows, one for each pair, are at
//!   equal distances. A *panel* is one laid out as `[column tile][block][pairs][16 columns]`.
//!
//! A number can be split into two bf16 parts, `high + low`, which together have 16 bits of mantissa.
//! The product of two split numbers is summed from three products of parts; the fourth, of the low
//! parts, is below 2^-18 of it. (Henry, Tang, Heinecke: Leveraging the bfloat16 Artificial
//! Intelligence Datatype For Higher-Precision Computations, ARITH 2019.)
//!
//! bf16 instructions take subnormal numbers as zero, and so does the engine.
#![allow(unsafe_code)]
// On other architectures `Bf16Isa` has no value, and nothing here is ever used.
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, unreachable_patterns, unused_mut, unused_variables)
)]

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod convert;

use super::Isa;
use std::fmt;

/// Rows and columns of a tile of accumulators, and the most pairs in a block.
pub(crate) const TILE: usize = 16;
/// Words of a tile of the left operand.
pub(crate) const LEFT_TILE: usize = TILE * TILE;

/// Instructions of the processor for products of bf16.
#[derive(Clone, Copy)]
pub(crate) enum Bf16Isa {
    #[cfg(target_arch = "x86_64")]
    Amx(amx::Amx),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512Bf16),
}

/// Instructions for products of bf16 that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bf16Instructions(pub(crate) Bf16Isa);

impl Bf16Instructions {
    /// All that the processor has and the operating system permits, fastest first.
    pub fn available() -> Vec<Self> {
        Bf16Isa::available().into_iter().map(Self).collect()
    }
}

impl fmt::Display for Bf16Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

/// The sizes of a product of packed operands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileShape {
    /// Rows of a row tile, at most [`TILE`].
    pub(crate) rows: usize,
    /// Pairs of a block, at most [`TILE`].
    pub(crate) pairs: usize,
    /// The number of blocks.
    pub(crate) blocks: usize,
}

impl TileShape {
    /// Words of a row tile of the left operand.
    pub(crate) fn left(self) -> usize {
        self.blocks * LEFT_TILE
    }

    /// Words of a column tile of a panel.
    pub(crate) fn right(self) -> usize {
        self.blocks * self.pairs * TILE
    }
}

/// A product of one or two row tiles with some column tiles. An operand is its high parts, and its
/// low parts, which are empty where numbers are not split.
#[derive(Clone, Copy)]
pub(crate) struct TileProduct<'a> {
    pub(crate) shape: TileShape,
    /// The number of row tiles, 1 or 2.
    pub(crate) row_tiles: usize,
    pub(crate) column_tiles: usize,
    /// Row tiles, [`TileShape::left`] words apart.
    pub(crate) left: [&'a [f32]; 2],
    pub(crate) right: [&'a [f32]; 2],
    pub(crate) layout: ColumnTiles<'a>,
    /// What will be read next: AMX fetches it into the second-level cache meanwhile.
    pub(crate) next: [&'a [f32]; 2],
}

impl TileProduct<'_> {
    /// Whether its numbers are split.
    fn is_split(&self) -> bool {
        !self.left[1].is_empty()
    }

    /// The products that are summed, small ones first: which part of the left operand, and which of
    /// the right one.
    fn terms(&self) -> &'static [[usize; 2]] {
        match self.is_split() {
            true => &[[1, 0], [0, 0], [0, 1]],
            false => &[[0, 0]],
        }
    }
}

/// The layout of a right operand.
#[derive(Clone, Copy)]
pub(crate) struct ColumnTiles<'a> {
    /// For each block, where its first row begins in the first column tile.
    pub(crate) offsets: &'a [u32],
    /// The distance between rows.
    pub(crate) row_stride: usize,
    /// The distance between column tiles.
    pub(crate) tile_stride: usize,
}

impl ColumnTiles<'_> {
    /// The words that some column tiles reach over.
    fn reach(&self, pairs: usize, column_tiles: usize) -> usize {
        let last = self
            .offsets
            .iter()
            .max()
            .map_or(0, |&offset| offset as usize);
        let rows = (pairs - 1) * self.row_stride;
        last + rows + column_tiles.saturating_sub(1) * self.tile_stride + TILE
    }
}

impl Bf16Isa {
    /// All that the processor has, fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if let Some(avx512) = avx512::Avx512Bf16::new() {
            all.extend(amx::Amx::new(avx512).map(Self::Amx));
            all.push(Self::Avx512(avx512));
        }
        all
    }

    /// The fastest that can be used beside a set of instructions for f32, and is faster than these.
    pub(crate) fn best(isa: Isa) -> Option<Self> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => {
                let mut all = Self::available().into_iter();
                all.find(|bf16| !matches!(bf16, Self::Avx512(avx512) if avx512.has_rate_of_f32()))
            }
            _ => None,
        }
    }

    /// Whether three products take less time than one in f32. AVX-512 BF16 has at most twice the rate of
    /// f32.
    pub(crate) fn is_faster_split(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => false,
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Its conventional name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => "AMX",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512 BF16",
            #[cfg(not(target_arch = "x86_64"))]
            _ => "none",
        }
    }

    /// Sums the terms of a product to `sums`, rows `stride` apart: row `r` of row tile `t` is row
    /// `t · shape.rows + r`.
    pub(crate) fn multiply(self, product: &TileProduct<'_>, sums: &mut [f32], stride: usize) {
        let TileProduct {
            shape,
            row_tiles,
            column_tiles,
            layout,
            ..
        } = *product;
        assert!((1..=2).contains(&row_tiles) && column_tiles * TILE <= stride);
        assert!((1..=TILE).contains(&shape.rows) && (1..=TILE).contains(&shape.pairs));
        assert!(row_tiles * shape.rows * stride <= sums.len());
        assert!(layout.offsets.len() == shape.blocks);
        let reach = layout.reach(shape.pairs, column_tiles);
        for &[left, right] in product.terms() {
            assert!(row_tiles * shape.left() <= product.left[left].len());
            assert!(shape.blocks == 0 || reach <= product.right[right].len());
        }
        // SAFETY: the assertions are the contract of both.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match self {
                Self::Amx(amx) => amx.multiply(product, sums.as_mut_ptr(), stride),
                Self::Avx512(avx512) => avx512.multiply(product, sums.as_mut_ptr(), stride),
            }
        }
    }

    /// Ends a sequence of products on this thread: the tiles are released, so that the operating
    /// system need not save them.
    pub(crate) fn release(self) {
        #[cfg(target_arch = "x86_64")]
        if let Self::Amx(amx) = self {
            amx.release();
        }
    }

    /// Interleaves channels by twos as pairs, and writes their high parts and, if there is room for
    /// them, their low parts.
    ///
    /// # Safety
    /// The rows of `from` are valid for reading, and those of `to` for writing.
    pub(crate) unsafe fn pack_pairs(self, from: &Channels, to: PairTarget) {
        // SAFETY: by the contract.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match self {
                Self::Amx(amx) => amx.avx512().pack_pairs(from, to),
                Self::Avx512(avx512) => avx512.pack_pairs(from, to),
            }
        }
    }

    /// Converts a row-major matrix to pairs along its rows, each a left operand of [`TILE`] rows.
    ///
    /// # Safety
    /// `from` is valid for reading `rows` rows of `depth` elements, `stride` apart; each `to` that is
    /// not null for writing a row tile.
    pub(crate) unsafe fn pack_left(self, from: &LeftRows, to: [*mut f32; 2]) {
        // SAFETY: by the contract.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match self {
                Self::Amx(amx) => amx.avx512().pack_left(from, to),
                Self::Avx512(avx512) => avx512.pack_left(from, to),
            }
        }
    }
}

/// Rows of some channels.
#[derive(Clone, Copy)]
pub(crate) struct Channels {
    /// The first row of the first channel.
    pub(crate) first: *const f32,
    /// The number of channels; where it is odd, the last pair has zeros.
    pub(crate) count: usize,
    /// The distance between channels.
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    /// The distance between rows.
    pub(crate) row_stride: usize,
    /// Elements that are packed of a row, every `step`-th.
    pub(crate) len: usize,
    pub(crate) step: usize,
    /// Zeros before the elements of a row, and the pairs of a row with them and with those behind.
    pub(crate) lead: usize,
    pub(crate) width: usize,
}

/// Where pairs are written.
#[derive(Clone, Copy)]
pub(crate) struct PairTarget {
    /// High and low parts of the first pair; null where they are not wanted.
    pub(crate) parts: [*mut f32; 2],
    /// The distance between pairs.
    pub(crate) stride: usize,
    /// The distance between rows.
    pub(crate) row_stride: usize,
    /// The distance between vectors of 16 pairs of a row.
    pub(crate) vector_stride: usize,
}

/// Rows of a left operand, to be packed as one row tile.
#[derive(Clone, Copy)]
pub(crate) struct LeftRows {
    pub(crate) first: *const f32,
    pub(crate) rows: usize,
    /// The distance between rows.
    pub(crate) stride: usize,
    pub(crate) depth: usize,
    pub(crate) shape: TileShape,
}

/// The nearest bf16 of a number, ties to even, and what is left of it as bf16. Subnormal numbers are
/// zero.
pub(crate) fn split(x: f32) -> [u16; 2] {
    let high = nearest(x);
    [high, nearest(x - f32::from_bits(u32::from(high) << 16))]
}

fn nearest(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    if x.is_subnormal() {
        return (bits >> 16) as u16 & 0x8000;
    }
    let odd = bits >> 16 & 1;
    (bits.wrapping_add(0x7fff + odd) >> 16) as u16
}

/// Two bf16 as one word.
pub(crate) fn pair([first, second]: [u16; 2]) -> f32 {
    f32::from_bits(u32::from(first) | u32::from(second) << 16)
}

impl PartialEq for Bf16Isa {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Bf16Isa {}

impl fmt::Debug for Bf16Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
