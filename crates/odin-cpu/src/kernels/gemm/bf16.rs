//! Products of bf16, see [`crate::simd::bf16`]: the left operand packed into row tiles, and the layout
//! of the panel that is the right one.

use super::packing::RowTile;
use crate::memory::AlignedBuffer;
use crate::program::StepPrecision;
use crate::simd::MAX_LANES;
use crate::simd::bf16::{
    Bf16Isa, ColumnTiles, LEFT_TILE, TILE, TileProduct, TileShape, pair, split,
};
use std::ops::Range;

/// How operands are rounded to bf16, and the instructions that multiply them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bf16 {
    pub(crate) isa: Bf16Isa,
    pub(crate) parts: Parts,
}

/// The number of bf16 that represent a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    /// 8 bits of mantissa.
    One,
    /// 16 bits of mantissa.
    Two,
}

impl Parts {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The high and the low parts of an operand, from an offset on. The low ones begin `part` words
    /// behind the high ones.
    fn of(self, words: &[f32], part: usize, start: usize) -> [&[f32]; 2] {
        match self {
            Self::One => [&words[start..], &[]],
            Self::Two => [&words[start..], &words[part + start..]],
        }
    }
}

impl From<Parts> for StepPrecision {
    fn from(parts: Parts) -> Self {
        match parts {
            Parts::One => Self::Bf16,
            Parts::Two => Self::TwiceBf16,
        }
    }
}

/// The pairs that hold some numbers.
pub(crate) fn pairs(numbers: usize) -> usize {
    numbers.div_ceil(2)
}

/// The tiles of a product of `rows` rows, over `depth` pairs.
pub(crate) fn tile_shape(rows: usize, depth: usize) -> TileShape {
    let (tiles, blocks) = (rows.div_ceil(TILE).max(1), depth.div_ceil(TILE));
    TileShape {
        rows: rows.div_ceil(tiles).max(1),
        pairs: depth.div_ceil(blocks.max(1)).max(1),
        blocks,
    }
}

/// A matrix as left operand: `[part][row tile][block][16][16]`.
#[derive(Default)]
pub(crate) struct PackedRows {
    /// Each one or two row tiles.
    tiles: Vec<RowTile>,
    data: AlignedBuffer,
}

/// One or two row tiles at a time.
pub(crate) fn row_tile_pairs(rows: usize, shape: TileShape) -> Vec<RowTile> {
    let height = 2 * shape.rows;
    let starts = (0..rows).step_by(height);
    let tile = |row: usize| RowTile {
        row,
        height: height.min(rows - row),
        start: row / shape.rows,
    };
    starts.map(tile).collect()
}

impl PackedRows {
    /// Packs `matrix(row, k)`, which gives the numbers of pair `k`, zeros behind the last; `None` if
    /// memory is exhausted.
    pub(crate) fn pack(
        parts: Parts,
        rows: usize,
        shape: TileShape,
        matrix: impl Fn(usize, usize) -> [f32; 2],
    ) -> Option<Self> {
        let part = rows.div_ceil(shape.rows).checked_mul(shape.left())?;
        let mut data = AlignedBuffer::zeros(part.checked_mul(parts.count())?)?;
        let words = data.as_mut_slice();
        for row in 0..rows {
            let start = row / shape.rows * shape.left() + row % shape.rows * TILE;
            for k in 0..shape.blocks * shape.pairs {
                let at = start + k / shape.pairs * LEFT_TILE + k % shape.pairs;
                let [[a, a_low], [b, b_low]] = matrix(row, k).map(split);
                words[at] = pair([a, b]);
                if parts == Parts::Two {
                    words[part + at] = pair([a_low, b_low]);
                }
            }
        }
        Some(Self {
            tiles: row_tile_pairs(rows, shape),
            data,
        })
    }

    pub(crate) fn tiles(&self) -> &[RowTile] {
        &self.tiles
    }

    /// The operand.
    pub(crate) fn left(&self, parts: Parts) -> Left<'_> {
        let words = self.data.as_slice();
        Left {
            words,
            part: words.len() / parts.count(),
        }
    }
}

impl Bf16 {
    /// The words of a panel of some columns.
    pub(crate) fn panel_words(self, shape: TileShape, columns: usize) -> usize {
        columns.div_ceil(TILE) * shape.right() * self.parts.count()
    }

    /// Multiplies one or two row tiles of a left operand with some column tiles of a right one.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn multiply(
        self,
        shape: TileShape,
        left: Left<'_>,
        tile: RowTile,
        right: Right<'_>,
        column_tiles: Range<usize>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let product = TileProduct {
            shape,
            row_tiles: tile.height.div_ceil(shape.rows),
            column_tiles: column_tiles.len(),
            left: self
                .parts
                .of(left.words, left.part, tile.start * shape.left()),
            right: self.parts.of(
                right.words,
                right.part,
                column_tiles.start * right.layout.tile_stride,
            ),
            layout: right.layout,
            next: right.next,
        };
        self.isa.multiply(&product, sums, stride);
    }
}

/// A packed left operand, and the words of a part of it.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) words: &'a [f32],
    pub(crate) part: usize,
}

/// A right operand.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    pub(crate) words: &'a [f32],
    /// The words of a part.
    pub(crate) part: usize,
    pub(crate) layout: ColumnTiles<'a>,
    /// The words of each part that are read next, to prefetch.
    pub(crate) next: [&'a [f32]; 2],
}

impl<'a> Right<'a> {
    /// A panel of some column tiles, whose blocks begin at [`panel_offsets`].
    pub(crate) fn panel(
        words: &'a [f32],
        shape: TileShape,
        column_tiles: usize,
        offsets: &'a [u32],
    ) -> Self {
        Self {
            words,
            part: column_tiles * shape.right(),
            layout: ColumnTiles {
                offsets,
                row_stride: TILE,
                tile_stride: shape.right(),
            },
            next: [&[]; 2],
        }
    }
}

/// Where the blocks of a panel begin.
pub(crate) fn panel_offsets(shape: TileShape) -> Vec<u32> {
    let block = shape.pairs * TILE;
    (0..shape.blocks)
        .map(|index| (index * block) as u32)
        .collect()
}

const _: () = assert!(TILE == MAX_LANES);
