//! Software prefetches that are spread over the iterations of the microkernel.

use crate::simd::MAX_LANES;

/// Cache lines that are asked for while a product is formed, one by one: it needs little from far
/// away, and many at once would be in each other's way.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch<'a> {
    /// Where they are counted from: an element that need not exist.
    pub(crate) start: *const f32,
    pub(crate) lines: &'a [u32],
}

impl Prefetch<'_> {
    pub(crate) const NONE: Self = Self {
        start: std::ptr::null(),
        lines: &[],
    };
}

/// The cache lines of `len` elements in each of some rows.
pub(crate) fn cache_lines(rows: usize, row_stride: usize, len: usize) -> Vec<u32> {
    let starts = (0..rows).map(|row| row.saturating_mul(row_stride));
    let of_row = |start: usize| (0..len).step_by(MAX_LANES).map(move |i| start + i);
    let all = starts.flat_map(of_row);
    // To ask for too little does no harm.
    all.map_while(|line| u32::try_from(line).ok()).collect()
}
