//! Products of bf16 with a panel for all taps of the window (im2col).

use super::bf16::{BF16_ACCUMULATORS, MANY_WEIGHTS, PANEL_ELEMENTS};
use super::{
    CopyShape, Footprint, Interior, Planes, Positions, Products, Reads, TapAt, Taps, by_phases,
    offsets_by_phases,
};
use crate::kernels::MAX_IMAGES;
use crate::kernels::conv::axis::Axis;
use crate::kernels::conv::rows::copy_forward;
use crate::kernels::gemm::bf16::{Bf16, PackedRows, Right, pairs, panel_offsets, tile_shape};
use crate::kernels::gemm::packing::RowTile;
use crate::program::StepPrecision;
use crate::simd::bf16::{TILE, TileShape};
use crate::simd::{Isa, Simd};

/// Products of bf16 with a panel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfolded(pub(crate) Bf16);

impl Unfolded {
    fn tiles(shape: Taps) -> TileShape {
        tile_shape(shape.outer, pairs(shape.inner) * shape.taps)
    }
}

impl Products for Unfolded {
    type Weights = PackedRows;

    fn precision(self) -> StepPrecision {
        self.0.parts.into()
    }

    fn planes(self, shape: CopyShape) -> usize {
        pairs(shape.inner) * self.0.parts.count() * shape.row_phases * shape.column_phases
    }

    fn sources(self, shape: CopyShape, _: &Axis) -> Vec<Planes> {
        by_phases(shape, pairs(shape.inner))
    }

    /// Those of the high parts, then those of the low parts.
    fn offsets(self, shape: CopyShape, plane: usize, row: usize, taps: &[TapAt]) -> Vec<u32> {
        let planes = pairs(shape.inner) * self.0.parts.count();
        offsets_by_phases(shape, planes, plane, row, taps)
    }

    fn blocks(self, shape: Taps) -> Vec<u32> {
        panel_offsets(Self::tiles(shape))
    }

    fn height(self, _: Isa, outer: usize) -> usize {
        Bf16::tile_height(outer)
    }

    fn panel(self, shape: Taps, positions: usize) -> usize {
        self.0.panel_words(Self::tiles(shape), positions)
    }

    fn fits(self, footprint: Footprint) -> bool {
        let Footprint {
            copy, panel, sums, ..
        } = footprint;
        copy + panel <= PANEL_ELEMENTS && sums <= BF16_ACCUMULATORS
    }

    fn images(self, footprint: Footprint, _: usize) -> usize {
        match footprint.weights >= MANY_WEIGHTS {
            true => (2 * PANEL_ELEMENTS / footprint.panel.max(1)).clamp(1, MAX_IMAGES),
            false => 1,
        }
    }

    fn pack(
        self,
        _: Isa,
        shape: Taps,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Option<PackedRows> {
        let Taps { outer, inner, taps } = shape;
        let weight = |out: usize, channel: usize, tap: usize| match channel < inner {
            true => weight(out, channel, tap),
            false => 0.0,
        };
        PackedRows::pack(self.0.parts, outer, Self::tiles(shape), |out, k| {
            let (channel, tap) = (k / taps * 2, k % taps);
            [weight(out, channel, tap), weight(out, channel + 1, tap)]
        })
    }

    fn tiles(weights: &PackedRows) -> &[RowTile] {
        weights.tiles()
    }

    #[inline(always)]
    fn copy<S: Simd>(self, _: S, interior: &Interior<'_>, copy: &mut [f32], distances: [usize; 2]) {
        self.0.copy_pairs(interior, copy, distances);
    }

    #[inline(always)]
    fn unfold<S: Simd>(
        self,
        simd: S,
        reads: &Reads,
        shape: Taps,
        positions: &Positions<'_>,
        image: usize,
        panel: &mut [f32],
    ) {
        let shape = Self::tiles(shape);
        let column_tiles = positions.count.div_ceil(TILE);
        let part = positions.images * column_tiles * shape.right();
        let depth = reads.offsets.len() / self.0.parts.count();
        let from = &positions.copy[positions.first..];
        assert!(reads.last_offset + column_tiles * TILE <= from.len());
        for (index, offsets) in reads.offsets.chunks_exact(depth).enumerate() {
            let to = &mut panel[index * part + image * column_tiles * shape.right()..];
            let to = to.chunks_exact_mut(shape.right()).take(column_tiles);
            for (tile, to) in to.enumerate() {
                let (rows, rest) = to.split_at_mut(depth * TILE);
                rest.fill(0.0);
                let (rows, _) = rows.as_chunks_mut::<TILE>();
                for (to, &offset) in rows.iter_mut().zip(offsets) {
                    // SAFETY: the elements are in the copy, by the assertion.
                    #[allow(unsafe_code)]
                    unsafe {
                        let from = from.as_ptr().add(offset as usize + tile * TILE);
                        copy_forward(simd, from, to.as_mut_ptr(), TILE);
                    }
                }
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
        let shape = Self::tiles(shape);
        let column_tiles = positions.images * positions.count.div_ceil(TILE);
        let left = weights.left(self.0.parts);
        let right = Right::panel(positions.panel, shape, column_tiles, &reads.blocks);
        let tiles = 0..column_tiles;
        self.0
            .multiply(shape, left, tile, right, tiles, sums, stride);
    }

    fn release(self) {
        self.0.isa.release();
    }
}
