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
use crate::kernels::conv::axis::Axis;
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::gemm::prefetch::Prefetch;
use crate::program::StepPrecision;
use crate::simd::{Isa, Simd};
use std::ops::Range;

mod bf16;
mod f32;
mod shifted;
mod unfolded;

pub(crate) use f32::F32;
pub(crate) use shifted::Shifted;
pub(crate) use unfolded::Unfolded;

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
