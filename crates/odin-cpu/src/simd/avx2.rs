//! AVX2 with FMA: 8 lanes, 16 registers.
#![allow(unsafe_code)]

use super::{BIAS, MANTISSA, SQRT_HALF, Simd, SimdTask};
use std::arch::x86_64::*;

/// Constructed only if the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }

    /// All bits of the lanes whose bit is set.
    #[inline(always)]
    fn lanes(self, bits: u16) -> __m256i {
        // SAFETY: as below.
        unsafe {
            let own = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let set = _mm256_and_si256(_mm256_set1_epi32(i32::from(bits)), own);
            _mm256_cmpeq_epi32(set, own)
        }
    }
}

pub(crate) fn run<T: SimdTask>(simd: Avx2, task: T) -> T::Output {
    #[target_feature(enable = "avx2,fma")]
    fn inner<T: SimdTask>(simd: Avx2, task: T) -> T::Output {
        task.run(simd)
    }
    // SAFETY: an `Avx2` is constructed only if the processor has these features.
    unsafe { inner(simd, task) }
}

fn first(n: usize) -> u16 {
    ((1u32 << n) - 1) as u16
}

// SAFETY of every block: the processor has the instructions, since `self` exists; pointers are
// valid for the accesses, by the contract of the trait.
impl Simd for Avx2 {
    type Vector = __m256;
    type Mask = __m256;
    const LANES: usize = 8;
    const TILE_HEIGHTS: &'static [usize] = &[6, 4, 3, 2, 1];

    /// At most 12 accumulators, so that they, the elements and a weight fit 16 registers.
    fn tile_vectors(height: usize) -> usize {
        match height {
            6 => 2,
            4 | 3 => 3,
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
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        unsafe { _mm256_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn load_first(self, n: usize, from: *const f32) -> __m256 {
        unsafe { _mm256_maskload_ps(from, self.lanes(first(n))) }
    }
    #[inline(always)]
    unsafe fn load_where(self, bits: u16, from: *const f32, otherwise: __m256) -> __m256 {
        unsafe {
            let lanes = self.lanes(bits);
            let loaded = _mm256_maskload_ps(from, lanes);
            _mm256_blendv_ps(otherwise, loaded, _mm256_castsi256_ps(lanes))
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, n: usize, to: *mut f32, x: __m256) {
        unsafe { _mm256_maskstore_ps(to, self.lanes(first(n)), x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, x: __m256) -> __m256 {
        unsafe { _mm256_sqrt_ps(x) }
    }
    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), x) }
    }
    #[inline(always)]
    fn with_sign(self, x: __m256, of: __m256) -> __m256 {
        unsafe { _mm256_or_ps(x, _mm256_and_ps(of, _mm256_set1_ps(-0.0))) }
    }
    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(BIAS));
            _mm256_castsi256_ps(_mm256_slli_epi32::<{ MANTISSA as _ }>(exponent))
        }
    }
    #[inline(always)]
    fn split(self, x: __m256) -> (__m256, __m256) {
        unsafe {
            let bits = _mm256_castps_si256(x);
            let above = _mm256_sub_epi32(bits, _mm256_set1_epi32(SQRT_HALF));
            let n = _mm256_srai_epi32::<{ MANTISSA as _ }>(above);
            let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<{ MANTISSA as _ }>(n));
            (_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(n))
        }
    }
    #[inline(always)]
    fn gt(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    fn ge(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_GE_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    /// The instruction returns its second operand if one is NaN.
    #[inline(always)]
    fn relu(self, x: __m256) -> __m256 {
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), x) }
    }
    #[inline(always)]
    fn bits(self, mask: __m256) -> u16 {
        unsafe { _mm256_movemask_ps(mask) as u16 }
    }
    #[inline(always)]
    fn keep_bits(self, bits: u16, x: __m256) -> __m256 {
        unsafe { _mm256_and_ps(_mm256_castsi256_ps(self.lanes(bits)), x) }
    }
    #[inline(always)]
    fn interleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (
                _mm256_permute2f128_ps::<0x20>(low, high),
                _mm256_permute2f128_ps::<0x31>(low, high),
            )
        }
    }
    #[inline(always)]
    fn deinterleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        unsafe {
            let even = _mm256_shuffle_ps::<0b10_00_10_00>(a, b);
            let odd = _mm256_shuffle_ps::<0b11_01_11_01>(a, b);
            // The pairs of elements are in the order a, b, a, b.
            let even = _mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(even));
            let odd = _mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(odd));
            (_mm256_castpd_ps(even), _mm256_castpd_ps(odd))
        }
    }
}
