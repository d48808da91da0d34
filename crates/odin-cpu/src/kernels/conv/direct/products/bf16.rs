//! What both ways to multiply in bf16 share: budgets, and the conversion of channels to pairs.

use super::Interior;
use crate::kernels::gemm::bf16::{Bf16, pairs, tile_shape};
use crate::simd::bf16::{Channels, PairTarget, TILE};

/// The elements of a strip's copy and panel to aim at: 512 KiB, a fraction of a second-level cache.
pub(super) const PANEL_ELEMENTS: usize = 1 << 17;
/// The accumulators of two row tiles to aim at: 48 KiB, a first-level cache.
pub(super) const BF16_ACCUMULATORS: usize = 12 << 10;
/// The elements of copies of several images to aim at: 1.5 MiB, most of a second-level cache.
pub(super) const SEVERAL_COPIES: usize = 3 << 17;
/// From so many weights on, they are multiplied with several images at a time: 256 KiB.
pub(super) const MANY_WEIGHTS: usize = 1 << 17;

impl Bf16 {
    /// The height of the highest one or two row tiles.
    pub(super) fn tile_height(outer: usize) -> usize {
        let rows = tile_shape(outer, 1).rows;
        rows * outer.div_ceil(rows).min(2)
    }

    /// Converts channels by pairs to planes.
    pub(super) fn copy_pairs(
        self,
        interior: &Interior<'_>,
        copy: &mut [f32],
        [next, low]: [usize; 2],
    ) {
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
