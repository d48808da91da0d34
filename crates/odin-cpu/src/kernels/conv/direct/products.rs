//! The products of a direct convolution: of f32, or of bf16.

use super::Phase;
use crate::kernels::conv::rows::{copy_forward, copy_padded_row};
use crate::kernels::gemm::bf16::{Bf16, Operand, PackedRows, pairs, tile_shape};
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::{PackedMatrix, RowTile, row_tiles};
use crate::kernels::gemm::prefetch::Prefetch;
use crate::program::StepPrecision;
use crate::simd::bf16::{Channels, PairTarget, TILE, TileShape};
use crate::simd::{Isa, Simd};
use std::ops::Range;

/// What a strip takes of the caches, in elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    pub(crate) copy: usize,
    pub(crate) panel: usize,
    /// The accumulators of the highest tile.
    pub(crate) sums: usize,
}

/// The shape of the weights of an output phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps {
    pub(crate) outer: usize,
    pub(crate) inner: usize,
    pub(crate) taps: usize,
}

/// The part of a plane of the copy that is not padding, and the elements that it is a copy of.
pub(crate) struct Interior<'a> {
    /// The input of a group, channel by channel.
    pub(crate) from: &'a [f32],
    /// Elements per channel.
    pub(crate) channel: usize,
    pub(crate) channels: usize,
    /// The first element, and the distance between rows and between elements.
    pub(crate) first: usize,
    pub(crate) row_stride: usize,
    pub(crate) step: usize,
    /// The rows and the columns of the plane that are inside, and the length of its rows.
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    pub(crate) row: usize,
}

impl Interior<'_> {
    /// Whether its elements follow each other, in the input and in the plane.
    fn is_contiguous(&self) -> bool {
        self.step == 1 && self.row_stride == self.row && self.columns == (0..self.row)
    }
}

/// The right operand of a product: some positions of an output phase.
pub(crate) struct Positions<'a> {
    pub(crate) copy: &'a [f32],
    /// The panel that [`Products::unfold`] has written; empty if products read the copy.
    pub(crate) panel: &'a [f32],
    /// The offset of the first position in the copy.
    pub(crate) first: usize,
    /// The number of positions, in each image that the panel is of.
    pub(crate) count: usize,
    pub(crate) images: usize,
    pub(crate) prefetches: [Prefetch<'a>; 3],
}

/// How a direct convolution multiplies. Methods that take a [`Simd`] are to be marked
/// `#[inline(always)]`.
pub(crate) trait Products: Copy + Send + Sync + 'static {
    /// The packed weights of a group, for one output phase.
    type Weights: Send + Sync + 'static;

    fn precision(self) -> StepPrecision;
    /// Planes of the copy for some channels, of each input phase.
    fn planes(self, channels: usize) -> usize;
    /// The height of the highest tile of weights.
    fn height(self, isa: Isa, outer: usize) -> usize;
    /// Elements of the panel of some positions, of one output phase.
    fn panel(self, outer: usize, inner: usize, taps: usize, positions: usize) -> usize;
    /// Whether a strip fits the caches.
    fn fits(self, footprint: Footprint) -> bool;
    /// The number of images to multiply together, if a strip is an image.
    fn images(self, weights: usize, panel: usize) -> usize;
    /// Packs the weights `weight(out, channel, tap)`; `None` if memory is exhausted.
    fn pack(
        self,
        isa: Isa,
        shape: Taps,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Option<Self::Weights>;
    fn tiles(weights: &Self::Weights) -> &[RowTile];
    /// Copies the interior of all planes of an input phase, which are `distance` apart.
    fn copy<S: Simd>(self, simd: S, interior: &Interior<'_>, planes: &mut [f32], distance: usize);
    /// Writes the panel of the positions of an output phase, of one of several images.
    fn unfold<S: Simd>(
        self,
        simd: S,
        phase: &Phase<Self::Weights>,
        shape: Taps,
        positions: &Positions<'_>,
        image: usize,
        panel: &mut [f32],
    );
    /// Multiplies a tile of weights with the positions of an output phase.
    #[allow(clippy::too_many_arguments)]
    fn multiply<S: Simd>(
        self,
        simd: S,
        phase: &Phase<Self::Weights>,
        weights: &Self::Weights,
        shape: Taps,
        tile: RowTile,
        positions: &Positions<'_>,
        sums: &mut [f32],
        stride: usize,
    );
    /// Ends the products of a thread.
    fn release(self) {}
}

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

    fn planes(self, channels: usize) -> usize {
        channels
    }

    fn height(self, isa: Isa, outer: usize) -> usize {
        let tiles = row_tiles(isa, outer, 0);
        tiles.iter().map(|t| t.height).max().unwrap_or(0)
    }

    fn panel(self, _: usize, _: usize, _: usize, _: usize) -> usize {
        0
    }

    fn fits(self, footprint: Footprint) -> bool {
        footprint.copy <= COPY_ELEMENTS && footprint.sums <= TILE_ACCUMULATORS
    }

    fn images(self, _: usize, _: usize) -> usize {
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
    fn copy<S: Simd>(self, simd: S, interior: &Interior<'_>, planes: &mut [f32], distance: usize) {
        let Interior {
            row_stride,
            step,
            ref columns,
            row,
            ..
        } = *interior;
        for channel in 0..interior.channels {
            let from = &interior.from[channel * interior.channel..][..interior.channel];
            let to = &mut planes[channel * distance..];
            let to = &mut to[interior.rows.start * row..interior.rows.end * row];
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
    fn unfold<S: Simd>(
        self,
        _: S,
        _: &Phase<PackedMatrix>,
        _: Taps,
        _: &Positions<'_>,
        _: usize,
        _: &mut [f32],
    ) {
    }

    #[inline(always)]
    fn multiply<S: Simd>(
        self,
        simd: S,
        phase: &Phase<PackedMatrix>,
        weights: &PackedMatrix,
        _: Taps,
        tile: RowTile,
        positions: &Positions<'_>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let columns = ColumnPanel {
            b: positions.copy,
            offsets: &phase.offsets,
            first: positions.first,
            count: positions.count,
            last_offset: phase.last_offset,
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

/// The elements of a strip's copy and panel to aim at: 1 MiB, half of a second-level cache of
/// processors with bf16.
const PANEL_ELEMENTS: usize = 1 << 17;
/// The accumulators of two row tiles to aim at: 48 KiB, a first-level cache.
const BF16_ACCUMULATORS: usize = 12 << 10;
/// From so many weights on, they are multiplied with several images at a time: 256 KiB.
const MANY_WEIGHTS: usize = 1 << 17;

impl Bf16 {
    /// Planes of the copy for each part.
    fn planes_of_part(self, channels: usize) -> usize {
        pairs(channels)
    }
}

impl Products for Bf16 {
    type Weights = PackedRows;

    fn precision(self) -> StepPrecision {
        self.parts.into()
    }

    /// High parts of all pairs of channels, then low parts.
    fn planes(self, channels: usize) -> usize {
        self.planes_of_part(channels) * self.parts.count()
    }

    fn height(self, _: Isa, outer: usize) -> usize {
        let rows = tile_shape(outer, 1).rows;
        rows * outer.div_ceil(rows).min(2)
    }

    fn panel(self, outer: usize, inner: usize, taps: usize, positions: usize) -> usize {
        let shape = tile_shape(outer, pairs(inner) * taps);
        self.panel_words(shape, positions)
    }

    fn fits(self, footprint: Footprint) -> bool {
        let Footprint { copy, panel, sums } = footprint;
        copy + panel <= PANEL_ELEMENTS && sums <= BF16_ACCUMULATORS
    }

    fn images(self, weights: usize, panel: usize) -> usize {
        match weights >= MANY_WEIGHTS {
            true => (PANEL_ELEMENTS / panel.max(1)).clamp(1, 4),
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
        PackedRows::pack(self.parts, outer, pairs(inner) * taps, |out, k| {
            let (channel, tap) = (k / taps * 2, k % taps);
            let second = channel + 1;
            [
                weight(out, channel, tap),
                if second < inner {
                    weight(out, second, tap)
                } else {
                    0.0
                },
            ]
        })
    }

    fn tiles(weights: &PackedRows) -> &[RowTile] {
        weights.tiles()
    }

    #[inline(always)]
    fn copy<S: Simd>(self, _: S, interior: &Interior<'_>, planes: &mut [f32], distance: usize) {
        let Interior {
            from, channel, row, ..
        } = *interior;
        let (rows, columns) = (&interior.rows, &interior.columns);
        let of_part = self.planes_of_part(interior.channels);
        let parts = self.parts.count();
        for plane in 0..of_part * parts {
            let to = &mut planes[plane * distance..][rows.start * row..rows.end * row];
            for to in to.chunks_exact_mut(row) {
                to[..columns.start].fill(0.0);
                to[columns.end..].fill(0.0);
            }
        }
        let last = interior.first + (rows.len() - 1) * interior.row_stride;
        assert!(last + (columns.len() - 1) * interior.step < channel);
        assert!(interior.channels * channel <= from.len());
        assert!((of_part * parts - 1) * distance + rows.end * row <= planes.len());
        let start = rows.start * row + columns.start;
        let mut part = |index: usize| match index < parts {
            true => planes[index * of_part * distance + start..].as_mut_ptr(),
            false => std::ptr::null_mut(),
        };
        let parts = [part(0), part(1)];
        let to = PairTarget {
            parts,
            stride: distance,
            row_stride: row,
            vector_stride: TILE,
        };
        let from = Channels {
            first: from[interior.first..].as_ptr(),
            count: interior.channels,
            stride: channel,
            rows: rows.len(),
            row_stride: interior.row_stride,
            len: columns.len(),
            step: interior.step,
        };
        // SAFETY: the elements are in the channels, and the rows in their planes, by the assertions.
        #[allow(unsafe_code)]
        unsafe {
            self.isa.pack_pairs(&from, to);
        }
    }

    #[inline(always)]
    fn unfold<S: Simd>(
        self,
        simd: S,
        phase: &Phase<PackedRows>,
        shape: Taps,
        positions: &Positions<'_>,
        image: usize,
        panel: &mut [f32],
    ) {
        let shape = shape.tiles();
        let column_tiles = positions.count.div_ceil(TILE);
        let part = positions.images * column_tiles * shape.right();
        let depth = phase.offsets.len() / self.parts.count();
        let from = &positions.copy[positions.first..];
        assert!(phase.last_offset + column_tiles * TILE <= from.len());
        for (index, offsets) in phase.offsets.chunks_exact(depth).enumerate() {
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
        _: &Phase<PackedRows>,
        weights: &PackedRows,
        shape: Taps,
        tile: RowTile,
        positions: &Positions<'_>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let (outer, shape) = (shape.outer, shape.tiles());
        let column_tiles = positions.images * positions.count.div_ceil(TILE);
        let left = Operand {
            words: weights.words(),
            part: outer.div_ceil(shape.rows) * shape.left(),
            shape,
        };
        let right = Operand {
            words: positions.panel,
            part: column_tiles * shape.right(),
            shape,
        };
        Bf16::multiply(self, left, tile, right, 0..column_tiles, sums, stride);
    }

    fn release(self) {
        self.isa.release();
    }
}

impl Taps {
    /// The tiles of products of bf16.
    fn tiles(self) -> TileShape {
        tile_shape(self.outer, pairs(self.inner) * self.taps)
    }
}
