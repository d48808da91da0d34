//! NEON: pairs of 4-lane registers as vectors of 8 lanes, 32 registers.
#![allow(unsafe_code)]

use super::{BIAS, MANTISSA, SQRT_HALF, Simd, SimdTask};
use std::arch::aarch64::*;

/// Constructed only if the processor has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

pub(crate) fn run<T: SimdTask>(simd: Neon, task: T) -> T::Output {
    #[target_feature(enable = "neon")]
    fn inner<T: SimdTask>(simd: Neon, task: T) -> T::Output {
        task.run(simd)
    }
    // SAFETY: a `Neon` is constructed only if the processor has NEON.
    unsafe { inner(simd, task) }
}

type Vector = [float32x4_t; 2];

/// All bits of the lanes whose bit is set.
#[inline(always)]
unsafe fn lanes(bits: u16, own: [u32; 4]) -> uint32x4_t {
    unsafe { vtstq_u32(vdupq_n_u32(u32::from(bits)), vld1q_u32(own.as_ptr())) }
}

// SAFETY of every block: the processor has the instructions, since `self` exists; pointers are
// valid for the accesses, by the contract of the trait.
impl Simd for Neon {
    type Vector = Vector;
    type Mask = [uint32x4_t; 2];
    const LANES: usize = 8;
    const TILE_HEIGHTS: &'static [usize] = &[12, 8, 4, 2, 1];

    /// At most 24 registers of accumulators, so that they, the elements and a weight fit 32.
    fn tile_vectors(height: usize) -> usize {
        match height {
            12 | 8 => 1,
            4 => 3,
            _ => 4,
        }
    }

    #[inline(always)]
    fn prefetch_l1(self, _: *const f32) {}
    #[inline(always)]
    fn prefetch_l2(self, _: *const f32) {}
    #[inline(always)]
    fn splat(self, x: f32) -> Vector {
        unsafe { [vdupq_n_f32(x); 2] }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Vector {
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, [a, b]: Vector) {
        unsafe {
            vst1q_f32(to, a);
            vst1q_f32(to.add(4), b);
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, n: usize, from: *const f32) -> Vector {
        let mut x = [0.0; 8];
        unsafe {
            x.as_mut_ptr().copy_from_nonoverlapping(from, n);
            self.load(x.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn load_where(self, bits: u16, from: *const f32, otherwise: Vector) -> Vector {
        let mut x = [0.0; 8];
        unsafe {
            self.store(x.as_mut_ptr(), otherwise);
            for (i, x) in x.iter_mut().enumerate() {
                if bits >> i & 1 == 1 {
                    *x = *from.wrapping_add(i);
                }
            }
            self.load(x.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, n: usize, to: *mut f32, x: Vector) {
        let mut elements = [0.0; 8];
        unsafe {
            self.store(elements.as_mut_ptr(), x);
            to.copy_from_nonoverlapping(elements.as_ptr(), n);
        }
    }
    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        unsafe { [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    fn div(self, a: Vector, b: Vector) -> Vector {
        unsafe { [vdivq_f32(a[0], b[0]), vdivq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    fn sqrt(self, x: Vector) -> Vector {
        unsafe { [vsqrtq_f32(x[0]), vsqrtq_f32(x[1])] }
    }
    #[inline(always)]
    fn abs(self, x: Vector) -> Vector {
        unsafe { [vabsq_f32(x[0]), vabsq_f32(x[1])] }
    }
    #[inline(always)]
    fn with_sign(self, x: Vector, of: Vector) -> Vector {
        let one = |x: float32x4_t, of: float32x4_t| unsafe {
            let sign = vandq_u32(vreinterpretq_u32_f32(of), vdupq_n_u32(1 << 31));
            vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(x), sign))
        };
        [one(x[0], of[0]), one(x[1], of[1])]
    }
    #[inline(always)]
    fn pow2(self, n: Vector) -> Vector {
        n.map(|n| unsafe {
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(BIAS));
            vreinterpretq_f32_s32(vshlq_n_s32::<{ MANTISSA as i32 }>(exponent))
        })
    }
    #[inline(always)]
    fn split(self, x: Vector) -> (Vector, Vector) {
        let halves = x.map(|x| unsafe {
            let bits = vreinterpretq_s32_f32(x);
            let above = vsubq_s32(bits, vdupq_n_s32(SQRT_HALF));
            let n = vshrq_n_s32::<{ MANTISSA as i32 }>(above);
            let m = vsubq_s32(bits, vshlq_n_s32::<{ MANTISSA as i32 }>(n));
            (vreinterpretq_f32_s32(m), vcvtq_f32_s32(n))
        });
        (halves.map(|(m, _)| m), halves.map(|(_, n)| n))
    }
    #[inline(always)]
    fn gt(self, a: Vector, b: Vector) -> [uint32x4_t; 2] {
        unsafe { [vcgtq_f32(a[0], b[0]), vcgtq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    fn ge(self, a: Vector, b: Vector) -> [uint32x4_t; 2] {
        unsafe { [vcgeq_f32(a[0], b[0]), vcgeq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    fn select(self, mask: [uint32x4_t; 2], a: Vector, b: Vector) -> Vector {
        unsafe {
            [
                vbslq_f32(mask[0], a[0], b[0]),
                vbslq_f32(mask[1], a[1], b[1]),
            ]
        }
    }
    #[inline(always)]
    fn mul_add(self, a: Vector, b: Vector, c: Vector) -> Vector {
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }
    /// The instruction returns NaN if an operand is NaN.
    #[inline(always)]
    fn relu(self, x: Vector) -> Vector {
        unsafe {
            let zero = vdupq_n_f32(0.0);
            [vmaxq_f32(x[0], zero), vmaxq_f32(x[1], zero)]
        }
    }
    #[inline(always)]
    fn bits(self, mask: [uint32x4_t; 2]) -> u16 {
        unsafe {
            let low = vandq_u32(mask[0], vld1q_u32([1, 2, 4, 8].as_ptr()));
            let high = vandq_u32(mask[1], vld1q_u32([16, 32, 64, 128].as_ptr()));
            vaddvq_u32(vorrq_u32(low, high)) as u16
        }
    }
    #[inline(always)]
    fn keep_bits(self, bits: u16, x: Vector) -> Vector {
        unsafe {
            let low = vandq_u32(lanes(bits, [1, 2, 4, 8]), vreinterpretq_u32_f32(x[0]));
            let high = vandq_u32(lanes(bits, [16, 32, 64, 128]), vreinterpretq_u32_f32(x[1]));
            [vreinterpretq_f32_u32(low), vreinterpretq_f32_u32(high)]
        }
    }
    #[inline(always)]
    fn interleave(self, a: Vector, b: Vector) -> (Vector, Vector) {
        unsafe {
            (
                [vzip1q_f32(a[0], b[0]), vzip2q_f32(a[0], b[0])],
                [vzip1q_f32(a[1], b[1]), vzip2q_f32(a[1], b[1])],
            )
        }
    }
    #[inline(always)]
    fn deinterleave(self, a: Vector, b: Vector) -> (Vector, Vector) {
        unsafe {
            (
                [vuzp1q_f32(a[0], a[1]), vuzp1q_f32(b[0], b[1])],
                [vuzp2q_f32(a[0], a[1]), vuzp2q_f32(b[0], b[1])],
            )
        }
    }
}
