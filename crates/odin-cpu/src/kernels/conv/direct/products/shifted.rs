//! Products of bf16 with a shifted copy for each column of the window.

use super::bf16::{BF16_ACCUMULATORS, MANY_WEIGHTS, PANEL_ELEMENTS, SEVERAL_COPIES};
use super::{CopyShape, Footprint, Interior, Planes, Positions, Products, Reads, TapAt, Taps};
use crate::kernels::MAX_IMAGES;
use crate::kernels::conv::axis::Axis;
use crate::kernels::gemm::bf16::{Bf16, PackedRows, Right, pairs, tile_shape};
use crate::kernels::gemm::packing::RowTile;
use crate::program::StepPrecision;
use crate::simd::bf16::{ColumnTiles, TILE, TileShape};
use crate::simd::{Isa, Simd};

/// Products of bf16 with a copy for each column of the window. Outputs are not decomposed along
/// columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shifted(pub(crate) Bf16);

impl Shifted {
    /// Blocks that hold the channels of a tap.
    fn blocks_of_tap(inner: usize) -> usize {
        pairs(inner).div_ceil(TILE)
    }

    /// Pairs of a block.
    fn pairs_of_block(inner: usize) -> usize {
        pairs(inner).div_ceil(Self::blocks_of_tap(inner))
    }

    /// Pairs of channels with those of zeros that fill the last block.
    fn padded_pairs(inner: usize) -> usize {
        Self::blocks_of_tap(inner) * Self::pairs_of_block(inner)
    }

    fn tiles(shape: Taps) -> TileShape {
        TileShape {
            rows: tile_shape(shape.outer, 1).rows,
            pairs: Self::pairs_of_block(shape.inner),
            blocks: shape.taps * Self::blocks_of_tap(shape.inner),
        }
    }

    /// Planes of a part.
    fn part(shape: CopyShape) -> usize {
        shape.row_phases * shape.column_taps * Self::padded_pairs(shape.inner)
    }

    /// Whether it is expected to take less time than [`Unfolded`], by the shapes alone: in cycles for
    /// a vector of positions, moving one takes four, and a product of tiles twenty.
    pub(crate) fn is_faster(shape: CopyShape, outer: usize, row_taps: usize, width: usize) -> bool {
        const MOVE: usize = 4;
        const PRODUCT: usize = 20;
        let (pairs, taps) = (pairs(shape.inner), row_taps * shape.column_taps);
        let row_tiles = outer.div_ceil(TILE);
        let products = |blocks: usize| blocks * row_tiles * PRODUCT;
        let unfolded = (1 + taps) * pairs * MOVE + products((taps * pairs).div_ceil(TILE));
        let blocks = taps * Self::blocks_of_tap(shape.inner);
        let shifted = shape.column_taps * pairs * MOVE + products(blocks);
        // Rows of several images side by side have less padding.
        let images = match shape.inner * outer * taps >= MANY_WEIGHTS {
            true => MAX_IMAGES,
            false => 1,
        };
        let row = (images * width).next_multiple_of(TILE);
        shifted * row < unfolded * images * (width + shape.column_taps - 1)
    }
}

impl Products for Shifted {
    type Weights = PackedRows;

    fn precision(self) -> StepPrecision {
        self.0.parts.into()
    }

    const IMAGES_IN_ROWS: bool = true;

    /// Whole tiles.
    fn row(self, columns: &Axis, images: usize) -> usize {
        (images * columns.output()).next_multiple_of(TILE)
    }

    /// High parts, then low parts; of each, for all phases of rows and columns of the window, pairs of
    /// channels.
    fn planes(self, shape: CopyShape) -> usize {
        self.0.parts.count() * Self::part(shape)
    }

    fn sources(self, shape: CopyShape, columns: &Axis) -> Vec<Planes> {
        let mut all = Vec::new();
        for row_phase in 0..shape.row_phases {
            for (column, tap) in columns.out_phases[0].taps.iter().enumerate() {
                let index = row_phase * shape.column_taps + column;
                all.push(Planes {
                    phases: [row_phase, tap.in_phase],
                    shift: tap.shift,
                    first: index * Self::padded_pairs(shape.inner),
                    distances: [1, Self::part(shape)],
                });
            }
        }
        all
    }

    /// One for each block: those of a tap follow each other.
    fn offsets(self, shape: CopyShape, plane: usize, row: usize, taps: &[TapAt]) -> Vec<u32> {
        let mut offsets = Vec::new();
        for tap in taps {
            let index = tap.phases[0] * shape.column_taps + tap.column;
            for block in 0..Self::blocks_of_tap(shape.inner) {
                let pair = block * Self::pairs_of_block(shape.inner);
                let first = index * Self::padded_pairs(shape.inner) + pair;
                offsets.push((first * plane + tap.shifts[0] * row) as u32);
            }
        }
        offsets
    }

    fn blocks(self, _: Taps) -> Vec<u32> {
        Vec::new()
    }

    fn height(self, _: Isa, outer: usize) -> usize {
        Bf16::tile_height(outer)
    }

    fn panel(self, _: Taps, _: usize) -> usize {
        0
    }

    /// If weights are many, longer strips read them less often.
    fn fits(self, footprint: Footprint) -> bool {
        let copies = match footprint.weights >= MANY_WEIGHTS {
            true => SEVERAL_COPIES,
            false => PANEL_ELEMENTS,
        };
        footprint.copy <= copies && footprint.sums <= BF16_ACCUMULATORS
    }

    /// As many as fill rows best.
    fn images(self, footprint: Footprint, width: usize) -> usize {
        if footprint.weights < MANY_WEIGHTS {
            return 1;
        }
        let row = |images: usize| (images * width).next_multiple_of(TILE);
        let fits = |&images: &usize| {
            let rows = row(images).div_ceil(row(1));
            footprint.copy * rows <= SEVERAL_COPIES && footprint.sums * rows <= BF16_ACCUMULATORS
        };
        let padding = |images: usize| row(images) * MAX_IMAGES / images;
        let candidates = (1..=MAX_IMAGES).rev().filter(fits);
        candidates
            .min_by_key(|&images| padding(images))
            .unwrap_or(1)
    }

    fn pack(
        self,
        _: Isa,
        shape: Taps,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Option<PackedRows> {
        let Taps { outer, inner, .. } = shape;
        let of_tap = Self::padded_pairs(inner);
        let weight = |out: usize, channel: usize, tap: usize| match channel < inner {
            true => weight(out, channel, tap),
            false => 0.0,
        };
        PackedRows::pack(self.0.parts, outer, Self::tiles(shape), |out, k| {
            let (channel, tap) = (k % of_tap * 2, k / of_tap);
            [weight(out, channel, tap), weight(out, channel + 1, tap)]
        })
    }

    fn tiles(weights: &PackedRows) -> &[RowTile] {
        weights.tiles()
    }

    #[inline(always)]
    fn copy<S: Simd>(
        self,
        _: S,
        interior: &Interior<'_>,
        copy: &mut [f32],
        [plane, low]: [usize; 2],
    ) {
        self.0.copy_pairs(interior, copy, [plane, low]);
        let clears = if interior.image == 0 {
            self.0.parts.count()
        } else {
            0
        };
        for part in 0..clears {
            for pair in pairs(interior.channels)..Self::padded_pairs(interior.channels) {
                let zeros = &mut copy[part * low + pair * plane..];
                zeros[..interior.copied_rows * interior.row].fill(0.0);
            }
        }
    }

    #[inline(always)]
    fn multiply<S: Simd>(
        self,
        _: S,
        reads: &Reads,
        weights: &PackedRows,
        shape: Taps,
        tile: RowTile,
        positions: &Positions<'_>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let left = weights.left(self.0.parts);
        let right = Right {
            words: &positions.copy[positions.first..],
            part: positions.copied / self.0.parts.count(),
            layout: ColumnTiles {
                offsets: &reads.offsets,
                row_stride: positions.plane,
                tile_stride: TILE,
            },
            next: [&[]; 2],
        };
        let tiles = 0..positions.count.div_ceil(TILE);
        let shape = Self::tiles(shape);
        self.0
            .multiply(shape, left, tile, right, tiles, sums, stride);
    }

    fn release(self) {
        self.0.isa.release();
    }
}
