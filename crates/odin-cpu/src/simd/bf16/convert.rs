//! Conversion to bf16 pairs, by AVX-512 BF16.
#![allow(unsafe_code)]

use super::{Channels, LeftRows, PairTarget, TILE};
use std::arch::x86_64::*;
use std::ops::Range;

/// # Safety
/// As [`super::Bf16Isa::pack_pairs`]; the processor has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_pairs(from: &Channels, to: PairTarget) {
    // SAFETY: by the contract.
    unsafe {
        match (from.step, to.parts[1].is_null()) {
            (1, true) => pack_rows::<1, false>(from, to),
            (1, false) => pack_rows::<1, true>(from, to),
            (2, true) => pack_rows::<2, false>(from, to),
            (2, false) => pack_rows::<2, true>(from, to),
            (_, true) => pack_rows::<0, false>(from, to),
            (_, false) => pack_rows::<0, true>(from, to),
        }
    }
}

/// `STEP` 0 stands for that of the rows.
///
/// # Safety
/// As [`pack_pairs`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_rows<const STEP: usize, const SPLIT: bool>(from: &Channels, to: PairTarget) {
    for pair in 0..from.count.div_ceil(2) {
        let at = pair * to.stride;
        let to = PairTarget {
            parts: to.parts.map(|part| part.wrapping_add(at)),
            ..to
        };
        let channel = from.first.wrapping_add(2 * pair * from.stride);
        // SAFETY: by the contract.
        unsafe {
            match 2 * pair + 1 < from.count {
                true => pack_pair::<STEP, SPLIT, true>(from, channel, to),
                false => pack_pair::<STEP, SPLIT, false>(from, channel, to),
            }
        }
    }
}

/// A channel and, if there are `BOTH`, the next one.
///
/// # Safety
/// As [`pack_pairs`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_pair<const STEP: usize, const SPLIT: bool, const BOTH: bool>(
    from: &Channels,
    channel: *const f32,
    to: PairTarget,
) {
    let step = if STEP == 0 { from.step } else { STEP };
    for row in 0..from.rows {
        let mut at = row * to.row_stride;
        for start in (0..from.width).step_by(TILE) {
            let inside = Range {
                start: from.lead.clamp(start, start + TILE) - start,
                end: (from.lead + from.len).clamp(start, start + TILE) - start,
            };
            let offset = (row * from.row_stride + start * step) as isize;
            let element = channel.wrapping_offset(offset - (from.lead * step) as isize);
            let n = TILE.min(from.width - start);
            // SAFETY: by the contract; elements outside of the row are not accessed.
            unsafe {
                let x = load_step::<STEP>(element, step, inside.clone());
                let y = match BOTH {
                    true => load_step::<STEP>(element.wrapping_add(from.stride), step, inside),
                    false => _mm512_setzero_ps(),
                };
                let high = pairs(x, y);
                store(to.parts[0].add(at), high, n);
                if SPLIT {
                    let [x, y] = [
                        _mm512_sub_ps(x, firsts(high)),
                        _mm512_sub_ps(y, seconds(high)),
                    ];
                    store(to.parts[1].add(at), pairs(x, y), n);
                }
            }
            at += to.vector_stride;
        }
    }
}

/// Elements `step` apart; zeros outside of a range of them.
///
/// # Safety
/// Those of the range are valid for reading.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn load_step<const STEP: usize>(
    from: *const f32,
    step: usize,
    inside: Range<usize>,
) -> __m512 {
    let len = inside.end - inside.start;
    // SAFETY: by the contract; masked elements are not accessed.
    unsafe {
        match STEP {
            1 => {
                let mask = u32::from(first(len)) << inside.start;
                _mm512_maskz_loadu_ps(mask as __mmask16, from)
            }
            2 => {
                // From the first element that is wanted to the last.
                let elements = (1u64 << (2 * len).saturating_sub(1)) - 1;
                let mask = (elements << (2 * inside.start)) as u32;
                let low = _mm512_maskz_loadu_ps(mask as __mmask16, from);
                let high = _mm512_maskz_loadu_ps((mask >> TILE) as u16, from.wrapping_add(TILE));
                let even =
                    _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                _mm512_permutex2var_ps(low, even, high)
            }
            _ => {
                let mut elements = [0.0; TILE];
                for i in inside {
                    elements[i] = *from.wrapping_add(i * step);
                }
                _mm512_loadu_ps(elements.as_ptr())
            }
        }
    }
}

/// # Safety
/// As [`super::Bf16Isa::pack_left`]; the processor has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_left(from: &LeftRows, to: [*mut f32; 2]) {
    let shape = from.shape;
    let width = 2 * shape.pairs;
    for block in 0..shape.blocks {
        let first = block * width;
        let n = width.min(from.depth.saturating_sub(first));
        for row in 0..from.rows {
            let at = (block * TILE + row) * TILE;
            // SAFETY: by the contract; only the first `n` elements are accessed.
            unsafe {
                let x = from.first.wrapping_add(row * from.stride + first);
                let low = _mm512_maskz_loadu_ps(self::first(n.min(TILE)), x);
                let rest = n.saturating_sub(TILE);
                let high = _mm512_maskz_loadu_ps(self::first(rest), x.wrapping_add(TILE));
                let words = bits(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(to[0].add(at).cast(), words);
                if !to[1].is_null() {
                    let low_rest = _mm512_sub_ps(low, widen(_mm512_castsi512_si256(words)));
                    let high_rest =
                        _mm512_sub_ps(high, widen(_mm512_extracti64x4_epi64::<1>(words)));
                    let words = bits(_mm512_cvtne2ps_pbh(high_rest, low_rest));
                    _mm512_storeu_si512(to[1].add(at).cast(), words);
                }
            }
        }
    }
}

/// Pairs of the elements of two vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pairs(x: __m512, y: __m512) -> __m512i {
    let both = bits(_mm512_cvtne2ps_pbh(y, x));
    let index = [
        0x0010_0000,
        0x0011_0001,
        0x0012_0002,
        0x0013_0003,
        0x0014_0004,
        0x0015_0005,
        0x0016_0006,
        0x0017_0007,
        0x0018_0008,
        0x0019_0009,
        0x001a_000a,
        0x001b_000b,
        0x001c_000c,
        0x001d_000d,
        0x001e_000e,
        0x001f_000f_i32,
    ];
    // SAFETY: the index is a vector.
    let index = unsafe { _mm512_loadu_si512(index.as_ptr().cast()) };
    _mm512_permutexvar_epi16(index, both)
}

/// The first elements of pairs.
#[target_feature(enable = "avx512f")]
fn firsts(pairs: __m512i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs))
}

/// The second elements of pairs.
#[target_feature(enable = "avx512f")]
fn seconds(pairs: __m512i) -> __m512 {
    let mask = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    _mm512_castsi512_ps(_mm512_and_si512(pairs, mask))
}

#[target_feature(enable = "avx512f")]
fn widen(halves: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
}

#[target_feature(enable = "avx512f")]
fn bits(x: __m512bh) -> __m512i {
    // SAFETY: both are 64 bytes, of which any are valid.
    unsafe { std::mem::transmute(x) }
}

/// # Safety
/// `to` is valid for writing `n` words.
#[target_feature(enable = "avx512f")]
unsafe fn store(to: *mut f32, words: __m512i, n: usize) {
    // SAFETY: by the contract.
    unsafe { _mm512_mask_storeu_epi32(to.cast(), first(n), words) }
}

fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}
