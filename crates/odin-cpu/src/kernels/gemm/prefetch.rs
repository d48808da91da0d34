//! Software prefetches that are spread over the iterations of the microkernel.

use crate::simd::MAX_LANES;

/// Cache lines to prefetch, one per iteration of the microkernel, which needs little memory
/// bandwidth itself; all at once would stall it.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch<'a> {
    /// The base address, which need not be valid.
    pub(crate) base: *const f32,
    pub(crate) lines: &'a [u32],
}

impl Prefetch<'_> {
    pub(crate) const NONE: Self = Self {
        base: std::ptr::null(),
        lines: &[],
    };
}

/// The cache lines of `len` elements in each of some rows, as offsets from the base.
pub(crate) fn cache_lines(rows: usize, row_stride: usize, len: usize) -> Vec<u32> {
    let starts = (0..rows).map(|row| row.saturating_mul(row_stride));
    let of_row = |start: usize| (0..len).step_by(MAX_LANES).map(move |i| start + i);
    let all = starts.flat_map(of_row);
    // A truncated list only costs speed.
    all.map_while(|line| u32::try_from(line).ok()).collect()
}
