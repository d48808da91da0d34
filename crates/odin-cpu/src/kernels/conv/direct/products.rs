//! The products of a direct convolution: of f32, or of bf16.
//!
//! Products of f32 read a padded copy of the input where it lies. Those of bf16 take tiles, for which
//! the copy is unfolded, in one of two ways:
//!
//! - [`Unfolded`]: the copy is unfolded to a panel for all taps of the window (im2col), whose depth is
//!   dense whatever the number of channels.
//! - [`Shifted`]: the input is copied once for each column of the window, shifted by it, in rows of
//!   whole tiles. Tiles then lie in the copy for all rows of the window: a third of the copying for
//!   3x3, but a block of the depth holds the channels of one tap only.

use super::Reads;
use crate::kernels::MAX_IMAGES;
use crate::kernels::conv::axis::Axis;
use crate::kernels::conv::rows::{copy_forward, copy_padded_row};
use crate::kernels::gemm::bf16::{Bf16, PackedRows, Right, pairs, panel_offsets, tile_shape};
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
    /// The weights that a strip is multiplied with.
    pub(crate) weights: usize,
}

/// The shape of the weights of an output phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps {
    pub(crate) outer: usize,
    pub(crate) inner: usize,
    pub(crate) taps: usize,
}

/// The numbers that planes of a copy are counted by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopyShape {
    /// Channels.
    pub(crate) inner: usize,
    /// Phases of the input along each axis.
    pub(crate) row_phases: usize,
    pub(crate) column_phases: usize,
    /// Columns of the window.
    pub(crate) column_taps: usize,
}

/// A tap of the window: its row and column, and which entry of which input phase position 0 reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapAt {
    pub(crate) entries: [usize; 2],
    pub(crate) phases: [usize; 2],
    pub(crate) shifts: [usize; 2],
    /// The number of its column among those of the output phase.
    pub(crate) column: usize,
}

/// Planes of a copy that are made alike: one for each channel or pair of channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes {
    /// The phases of the input that they are a copy of, and the columns by which it is shifted.
    pub(crate) phases: [usize; 2],
    pub(crate) shift: usize,
    /// The first of them.
    pub(crate) first: usize,
    /// The distances, in planes, to the next one, and to that of the low parts.
    pub(crate) distances: [usize; 2],
}

/// The part of some planes that is not padding, and the elements that it is a copy of.
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
    /// The rows and the columns of the plane that are inside, the length of its rows, and all rows.
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    pub(crate) row: usize,
    pub(crate) copied_rows: usize,
    /// Of images side by side in a row: the number of this one, and the columns of each.
    pub(crate) image: usize,
    pub(crate) width: usize,
}

impl Interior<'_> {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() || self.columns.is_empty()
    }

    /// Whether it has the rows for itself.
    fn is_alone(&self) -> bool {
        self.image == 0 && self.width == self.row
    }

    /// Whether its elements follow each other, in the input and in the plane.
    fn is_contiguous(&self) -> bool {
        self.step == 1 && self.row_stride == self.row && self.columns == (0..self.row)
    }

    /// Clears the rows of a plane that are padding, and returns the others. The first of several images
    /// does it for all.
    fn clear_padding<'a>(&self, plane: &'a mut [f32]) -> &'a mut [f32] {
        let plane = &mut plane[..self.copied_rows * self.row];
        if self.image > 0 {
            return &mut plane[self.rows.start * self.row..self.rows.end * self.row];
        }
        if self.is_empty() {
            plane.fill(0.0);
            return &mut [];
        }
        let (inside, below) = plane.split_at_mut(self.rows.end * self.row);
        let (above, inside) = inside.split_at_mut(self.rows.start * self.row);
        above.fill(0.0);
        below.fill(0.0);
        inside
    }
}

/// The right operand of a product: some positions of an output phase.
pub(crate) struct Positions<'a> {
    pub(crate) copy: &'a [f32],
    /// The panel that [`Products::unfold`] has written; empty if products read the copy.
    pub(crate) panel: &'a [f32],
    /// The offset of the first position in the copy, and the distance between planes.
    pub(crate) first: usize,
    pub(crate) plane: usize,
    /// Elements of all planes.
    pub(crate) copied: usize,
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

    /// Whether several images that are multiplied together lie side by side in the rows of one copy.
    const IMAGES_IN_ROWS: bool = false;

    fn precision(self) -> StepPrecision;
    /// The length of the rows of the copy of some images; without [`Products::IMAGES_IN_ROWS`] each image
    /// has a copy of its own.
    fn row(self, columns: &Axis, _images: usize) -> usize {
        columns.receptive_field(&(0..columns.output())).len()
    }
    /// Planes of the copy.
    fn planes(self, shape: CopyShape) -> usize;
    /// The planes of the copy, by what they are a copy of.
    fn sources(self, shape: CopyShape, columns: &Axis) -> Vec<Planes>;
    /// Where the rows of elements begin that an output phase reads, in the order of its weights.
    fn offsets(self, shape: CopyShape, plane: usize, row: usize, taps: &[TapAt]) -> Vec<u32>;
    /// Where the blocks of a panel begin.
    fn blocks(self, shape: Taps) -> Vec<u32>;
    /// The height of the highest tile.
    fn height(self, isa: Isa, outer: usize) -> usize;
    /// Elements of the panel of some positions, of one output phase.
    fn panel(self, shape: Taps, positions: usize) -> usize;
    /// Whether a strip fits the caches.
    fn fits(self, footprint: Footprint) -> bool;
    /// The number of images to multiply together, if a strip is an image; their rows have `width`
    /// positions.
    fn images(self, footprint: Footprint, width: usize) -> usize;
    /// Packs the weights `weight(out, channel, tap)`; `None` if memory is exhausted.
    fn pack(
        self,
        isa: Isa,
        shape: Taps,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Option<Self::Weights>;
    fn tiles(weights: &Self::Weights) -> &[RowTile];
    /// Makes some planes of the copy, of which the first begins at `copy`, at distances as in
    /// [`Planes`] but in elements.
    fn copy<S: Simd>(
        self,
        simd: S,
        interior: &Interior<'_>,
        copy: &mut [f32],
        distances: [usize; 2],
    );
    /// Writes the panel of the positions of an output phase, of one of several images.
    #[inline(always)]
    fn unfold<S: Simd>(
        self,
        _simd: S,
        _reads: &Reads,
        _shape: Taps,
        _positions: &Positions<'_>,
        _image: usize,
        _panel: &mut [f32],
    ) {
    }
    /// Multiplies a tile of weights with the positions of an output phase.
    #[allow(clippy::too_many_arguments)]
    fn multiply<S: Simd>(
        self,
        simd: S,
        reads: &Reads,
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

/// Planes in the order of channels, or of parts and pairs of channels, each with its input phases.
fn by_phases(shape: CopyShape, planes_of_part: usize) -> Vec<Planes> {
    let phases = shape.row_phases * shape.column_phases;
    let planes = |phase: usize| Planes {
        phases: [phase / shape.column_phases, phase % shape.column_phases],
        shift: 0,
        first: phase,
        distances: [phases, planes_of_part * phases],
    };
    (0..phases).map(planes).collect()
}

/// Offsets in a copy whose planes are [`by_phases`]: for each channel, or part and pair of channels,
/// those of its taps.
fn offsets_by_phases(
    shape: CopyShape,
    planes: usize,
    plane: usize,
    row: usize,
    taps: &[TapAt],
) -> Vec<u32> {
    let phases = shape.row_phases * shape.column_phases;
    let offset = |first: usize, tap: &TapAt| {
        let phase = tap.phases[0] * shape.column_phases + tap.phases[1];
        (first * phases + phase) * plane + tap.shifts[0] * row + tap.shifts[1]
    };
    let of_plane = |first: usize| taps.iter().map(move |tap| offset(first, tap) as u32);
    (0..planes).flat_map(of_plane).collect()
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

/// The elements of a strip's copy and panel to aim at: 512 KiB, a fraction of a second-level cache.
const PANEL_ELEMENTS: usize = 1 << 17;
/// The accumulators of two row tiles to aim at: 48 KiB, a first-level cache.
const BF16_ACCUMULATORS: usize = 12 << 10;
/// The elements of copies of several images to aim at: 1.5 MiB, most of a second-level cache.
const SEVERAL_COPIES: usize = 3 << 17;
/// From so many weights on, they are multiplied with several images at a time: 256 KiB.
const MANY_WEIGHTS: usize = 1 << 17;

impl Bf16 {
    /// The height of the highest one or two row tiles.
    fn tile_height(outer: usize) -> usize {
        let rows = tile_shape(outer, 1).rows;
        rows * outer.div_ceil(rows).min(2)
    }

    /// Converts channels by pairs to planes.
    fn copy_pairs(self, interior: &Interior<'_>, copy: &mut [f32], [next, low]: [usize; 2]) {
        let (planes, parts) = (pairs(interior.channels), self.parts.count());
        for index in 0..planes * parts {
            let at = index / planes * low + index % planes * next;
            interior.clear_padding(&mut copy[at..]);
        }
        if interior.is_empty() {
            return;
        }
        let Interior { from, channel, .. } = *interior;
        let mut rows = interior.rows.clone();
        let (mut columns, mut row, mut row_stride) =
            (interior.columns.clone(), interior.row, interior.row_stride);
        let mut start = rows.start * row + interior.image * interior.width;
        let mut width = match interior.is_alone() {
            true => row,
            false => interior.width,
        };
        if interior.is_contiguous() && interior.is_alone() {
            // One long row.
            start = rows.start * row;
            (columns, row) = (0..rows.len() * row, rows.len() * row);
            (rows, row_stride, width) = (0..1, row, row);
        }
        let last = interior.first + (rows.len() - 1) * row_stride;
        assert!(last + (columns.len() - 1) * interior.step < channel);
        assert!(interior.channels * channel <= from.len());
        let end = start + (rows.len() - 1) * row + width;
        assert!((parts - 1) * low + (planes - 1) * next + end <= copy.len());
        let mut part = |index: usize| match index < parts {
            true => copy[index * low + start..].as_mut_ptr(),
            false => std::ptr::null_mut(),
        };
        let to = PairTarget {
            parts: [part(0), part(1)],
            stride: next,
            row_stride: row,
            vector_stride: TILE,
        };
        let from = Channels {
            first: from[interior.first..].as_ptr(),
            count: interior.channels,
            stride: channel,
            rows: rows.len(),
            row_stride,
            len: columns.len(),
            step: interior.step,
            lead: columns.start,
            width,
        };
        // SAFETY: the elements are in the channels, and the rows in their planes, by the assertions.
        #[allow(unsafe_code)]
        unsafe {
            self.isa.pack_pairs(&from, to);
        }
    }
}

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
            offsets: &reads.offsets,
            row_stride: positions.plane,
            tile_stride: TILE,
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
