//! Packing of the left operand into tiles of rows, as the microkernel reads them.

use crate::memory::AlignedBuffer;
use crate::simd::{Isa, Simd, SimdTask};

/// Matrices `[rows, depth]` cut into tiles of rows, each column-major.
#[derive(Default)]
pub(crate) struct PackedMatrix {
    tiles: Vec<RowTile>,
    data: AlignedBuffer,
    /// Elements per matrix.
    size: usize,
}

/// A range of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowTile {
    pub(crate) row: usize,
    pub(crate) height: usize,
    /// Where it begins in the packed matrix.
    pub(super) start: usize,
}

impl PackedMatrix {
    /// Packs `matrix(row, k)`; `None` if memory is exhausted.
    pub(crate) fn pack(
        isa: Isa,
        rows: usize,
        depth: usize,
        matrix: impl Fn(usize, usize) -> f32,
    ) -> Option<Self> {
        let mut data = AlignedBuffer::zeros(rows.checked_mul(depth)?)?;
        let tiles = row_tiles(isa, rows, depth);
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

    /// Packs `count` matrices `[rows, depth]` one after the other, whose entries `matrices(row, k,
    /// entries)` writes; `None` if memory is exhausted.
    pub(crate) fn pack_batch(
        isa: Isa,
        [rows, depth]: [usize; 2],
        count: usize,
        matrices: impl Fn(usize, usize, &mut [f32]),
    ) -> Option<Self> {
        let size = rows.checked_mul(depth)?;
        let mut data = AlignedBuffer::zeros(size.checked_mul(count)?)?;
        let tiles = row_tiles(isa, rows, depth);
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

    /// The weights of a tile in one of several matrices, column-major.
    pub(crate) fn batch_tile(&self, matrix: usize, tile: RowTile) -> &[f32] {
        &self.data.as_slice()[matrix * self.size + tile.start..]
    }

    /// The height of the highest tile.
    pub(crate) fn height(&self) -> usize {
        self.tiles.iter().map(|tile| tile.height).max().unwrap_or(0)
    }

    pub(crate) fn tiles(&self) -> &[RowTile] {
        &self.tiles
    }

    /// The weights of a tile, column-major.
    pub(crate) fn tile(&self, tile: RowTile) -> &[f32] {
        &self.data.as_slice()[tile.start..]
    }
}

/// Cuts rows into tiles of the heights that the instruction set supports.
pub(crate) fn row_tiles(isa: Isa, rows: usize, depth: usize) -> Vec<RowTile> {
    let mut row = 0;
    let tile_at = |height| {
        let tile = RowTile {
            row,
            height,
            start: row * depth,
        };
        row += height;
        tile
    };
    isa.dispatch(TileHeights(rows))
        .into_iter()
        .map(tile_at)
        .collect()
}

struct TileHeights(usize);

impl SimdTask for TileHeights {
    type Output = Vec<usize>;

    /// The fewest tiles; among equals, the lowest.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Vec<usize> {
        let cut = |tallest: usize| {
            let (mut rest, mut heights) = (self.0, Vec::new());
            for &height in S::TILE_HEIGHTS.iter().filter(|&&h| h <= tallest) {
                heights.extend(std::iter::repeat_n(height, rest / height));
                rest %= height;
            }
            heights
        };
        let cuts = S::TILE_HEIGHTS.iter().rev().map(|&tallest| cut(tallest));
        cuts.min_by_key(Vec::len).unwrap_or_default()
    }
}
