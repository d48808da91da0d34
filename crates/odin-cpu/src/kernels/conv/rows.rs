//! Copies of image rows. Rows are short: a call of a library function per row would take longer
//! than the copy.

use crate::simd::{Simd, load_up_to, store_up_to};
use std::ops::Range;

/// Copies elements to a lower address, or to a disjoint range.
///
/// # Safety
/// `from` is valid for reading and `to` for writing `n` elements.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn copy_forward<S: Simd>(simd: S, from: *const f32, to: *mut f32, n: usize) {
    let whole = n / S::LANES * S::LANES;
    // SAFETY: all inside of the `n` elements.
    unsafe {
        for i in (0..whole).step_by(S::LANES) {
            simd.store(to.add(i), simd.load(from.add(i)));
        }
        if n > whole {
            simd.store_first(
                n - whole,
                to.add(whole),
                simd.load_first(n - whole, from.add(whole)),
            );
        }
    }
}

/// Copies every `step`-th element to the range `across` of a row, and fills the rest with zeros.
#[inline(always)]
pub(super) fn copy_padded_row<S: Simd>(
    simd: S,
    from: &[f32],
    step: usize,
    range: &Range<usize>,
    to: &mut [f32],
) {
    let (to, behind) = to.split_at_mut(range.end);
    let (before, to) = to.split_at_mut(range.start);
    before.iter_mut().for_each(|to| *to = 0.0);
    behind.iter_mut().for_each(|to| *to = 0.0);
    match step {
        1 => {
            let from = &from[..to.len()];
            // SAFETY: both slices hold the elements.
            #[allow(unsafe_code)]
            unsafe {
                copy_forward(simd, from.as_ptr(), to.as_mut_ptr(), to.len());
            }
        }
        2 => copy_even(simd, from, to),
        _ => to
            .iter_mut()
            .zip(from.iter().step_by(step))
            .for_each(|(to, from)| *to = *from),
    }
}

/// Copies the elements of even index.
#[inline(always)]
fn copy_even<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let pairs = from.chunks(2 * S::LANES);
    for (to, from) in to.chunks_mut(S::LANES).zip(pairs) {
        let (low, high) = from.split_at(from.len().min(S::LANES));
        assert!(2 * to.len() <= from.len() + 1);
        // SAFETY: partial loads and stores end with the slices.
        #[allow(unsafe_code)]
        unsafe {
            let low = load_up_to(simd, low.len(), low.as_ptr());
            let high = load_up_to(simd, high.len(), high.as_ptr());
            let (even, _) = simd.deinterleave(low, high);
            store_up_to(simd, to.len(), to.as_mut_ptr(), even);
        }
    }
}

/// Copies elements to every `step`-th element of a row.
#[inline(always)]
pub(super) fn scatter_row<S: Simd>(simd: S, from: &[f32], step: usize, to: &mut [f32]) {
    if step != 2 {
        let to = to.iter_mut().step_by(step);
        to.zip(from).for_each(|(to, from)| *to = *from);
        return;
    }
    let pairs = to.chunks_mut(2 * S::LANES);
    for (from, to) in from.chunks(S::LANES).zip(pairs) {
        let len = to.len().min(2 * from.len());
        let (low, high) = to[..len].split_at_mut(len.min(S::LANES));
        // SAFETY: partial loads and stores end with the slices.
        #[allow(unsafe_code)]
        unsafe {
            let kept = [&*low, &*high].map(|to| load_up_to(simd, to.len(), to.as_ptr()));
            let (_, odd) = simd.deinterleave(kept[0], kept[1]);
            let from = load_up_to(simd, from.len(), from.as_ptr());
            let (first, second) = simd.interleave(from, odd);
            store_up_to(simd, low.len(), low.as_mut_ptr(), first);
            store_up_to(simd, high.len(), high.as_mut_ptr(), second);
        }
    }
}
