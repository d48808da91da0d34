//! AVX-512: 16 lanes, 32 registers, a mask register for each comparison.
#![allow(unsafe_code)]

use super::{BIAS, MANTISSA, SQRT_HALF, Simd, SimdTask};
use std::arch::x86_64::*;

/// Constructed only if the processor has AVX-512F, AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}

pub(crate) fn run<T: SimdTask>(simd: Avx512, task: T) -> T::Output {
    #[target_feature(enable = "avx512f,avx2,fma")]
    fn inner<T: SimdTask>(simd: Avx512, task: T) -> T::Output {
        task.run(simd)
    }
    // SAFETY: an `Avx512` is constructed only if the processor has these features.
    unsafe { inner(simd, task) }
}

fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY of every block: the processor has the instructions, since `self` exists; pointers are
// valid for the accesses, by the contract of the trait.
impl Simd for Avx512 {
    type Vector = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;
    const TILE_HEIGHTS: &'static [usize] = &[12, 8, 4, 3, 2, 1];

    /// At most 24 accumulators, so that they, the elements and a weight fit 32 registers.
    fn tile_vectors(height: usize) -> usize {
        match height {
            12 => 2,
            8 => 3,
            _ => 4,
        }
    }

    #[inline(always)]
    fn prefetch_l1(self, from: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }
    #[inline(always)]
    fn prefetch_l2(self, from: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m512) {
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn load_first(self, n: usize, from: *const f32) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(first(n), from) }
    }
    #[inline(always)]
    unsafe fn load_where(self, bits: u16, from: *const f32, otherwise: __m512) -> __m512 {
        unsafe { _mm512_mask_loadu_ps(otherwise, bits, from) }
    }
    #[inline(always)]
    unsafe fn store_first(self, n: usize, to: *mut f32, x: __m512) {
        unsafe { _mm512_mask_storeu_ps(to, first(n), x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, x: __m512) -> __m512 {
        unsafe { _mm512_sqrt_ps(x) }
    }
    #[inline(always)]
    fn abs(self, x: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(x) }
    }
    #[inline(always)]
    fn with_sign(self, x: __m512, of: __m512) -> __m512 {
        unsafe {
            let sign = _mm512_and_si512(_mm512_castps_si512(of), _mm512_set1_epi32(i32::MIN));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(x), sign))
        }
    }
    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(BIAS));
            _mm512_castsi512_ps(_mm512_slli_epi32::<{ MANTISSA as _ }>(exponent))
        }
    }
    #[inline(always)]
    fn split(self, x: __m512) -> (__m512, __m512) {
        unsafe {
            let bits = _mm512_castps_si512(x);
            let above = _mm512_sub_epi32(bits, _mm512_set1_epi32(SQRT_HALF));
            let n = _mm512_srai_epi32::<{ MANTISSA as _ }>(above);
            let m = _mm512_sub_epi32(bits, _mm512_slli_epi32::<{ MANTISSA as _ }>(n));
            (_mm512_castsi512_ps(m), _mm512_cvtepi32_ps(n))
        }
    }
    #[inline(always)]
    fn gt(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    fn ge(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    /// The instruction returns its second operand if one is NaN.
    #[inline(always)]
    fn relu(self, x: __m512) -> __m512 {
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), x) }
    }
    #[inline(always)]
    fn bits(self, mask: __mmask16) -> u16 {
        mask
    }
    #[inline(always)]
    fn keep_bits(self, bits: u16, x: __m512) -> __m512 {
        unsafe { _mm512_maskz_mov_ps(bits, x) }
    }
    #[inline(always)]
    fn interleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            (
                _mm512_permutex2var_ps(a, low, b),
                _mm512_permutex2var_ps(a, high, b),
            )
        }
    }
    #[inline(always)]
    fn deinterleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (
                _mm512_permutex2var_ps(a, even, b),
                _mm512_permutex2var_ps(a, odd, b),
            )
        }
    }
}
