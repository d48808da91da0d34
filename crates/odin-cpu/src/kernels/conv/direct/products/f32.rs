//! Products of f32, which read the padded copy where it lies.

use super::{
    CopyShape, Footprint, Interior, Planes, Positions, Products, Reads, TapAt, Taps, by_phases,
    offsets_by_phases,
};
use crate::kernels::conv::axis::Axis;
use crate::kernels::conv::rows::copy_padded_row;
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::{PackedMatrix, RowTile, row_tiles};
use crate::program::StepPrecision;
use crate::simd::{Isa, Simd};

/// Products of f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct F32;

/// The elements of a strip's padded copy to aim at: 512 KiB, a fraction of a second-level cache.
const COPY_ELEMENTS: usize = 1 << 17;
/// The accumulators of a tile to aim at: 24 KiB, half of a first-level cache.
const TILE_ACCUMULATORS: usize = 6 << 10;

impl Products for F32 {
    type Weights = PackedMatrix;

    fn precision(self) -> StepPrecision {
        StepPrecision::F32
    }

    fn planes(self, shape: CopyShape) -> usize {
        shape.inner * shape.row_phases * shape.column_phases
    }

    fn sources(self, shape: CopyShape, _: &Axis) -> Vec<Planes> {
        by_phases(shape, shape.inner)
    }

    fn offsets(self, shape: CopyShape, plane: usize, row: usize, taps: &[TapAt]) -> Vec<u32> {
        offsets_by_phases(shape, shape.inner, plane, row, taps)
    }

    fn blocks(self, _: Taps) -> Vec<u32> {
        Vec::new()
    }

    fn height(self, isa: Isa, outer: usize) -> usize {
        let tiles = row_tiles(isa, outer, 0);
        tiles.iter().map(|t| t.height).max().unwrap_or(0)
    }

    fn panel(self, _: Taps, _: usize) -> usize {
        0
    }

    fn fits(self, footprint: Footprint) -> bool {
        footprint.copy <= COPY_ELEMENTS && footprint.sums <= TILE_ACCUMULATORS
    }

    fn images(self, _: Footprint, _: usize) -> usize {
        1
    }

    fn pack(
        self,
        isa: Isa,
        shape: Taps,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Option<PackedMatrix> {
        let Taps { outer, inner, taps } = shape;
        PackedMatrix::pack(isa, outer, inner * taps, |out, k| {
            weight(out, k / taps, k % taps)
        })
    }

    fn tiles(weights: &PackedMatrix) -> &[RowTile] {
        weights.tiles()
    }

    #[inline(always)]
    fn copy<S: Simd>(
        self,
        simd: S,
        interior: &Interior<'_>,
        copy: &mut [f32],
        [distance, _]: [usize; 2],
    ) {
        let Interior {
            row_stride,
            step,
            ref columns,
            row,
            ..
        } = *interior;
        for channel in 0..interior.channels {
            let from = &interior.from[channel * interior.channel..][..interior.channel];
            let to = interior.clear_padding(&mut copy[channel * distance..]);
            if interior.is_empty() {
                continue;
            }
            if interior.is_contiguous() {
                to.copy_from_slice(&from[interior.first..][..to.len()]);
                continue;
            }
            for (i, to) in to.chunks_exact_mut(row).enumerate() {
                let from = &from[interior.first + i * row_stride..];
                let from = &from[..(columns.len() - 1) * step + 1];
                copy_padded_row(simd, from, step, columns, to);
            }
        }
    }

    #[inline(always)]
    fn multiply<S: Simd>(
        self,
        simd: S,
        reads: &Reads,
        weights: &PackedMatrix,
        _: Taps,
        tile: RowTile,
        positions: &Positions<'_>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let columns = ColumnPanel {
            b: positions.copy,
            offsets: &reads.offsets,
            first: positions.first,
            count: positions.count,
            last_offset: reads.last_offset,
            accumulate: false,
            prefetches: positions.prefetches,
        };
        multiply_tile(
            simd,
            tile.height,
            weights.tile(tile),
            &columns,
            sums,
            stride,
        );
    }
}
