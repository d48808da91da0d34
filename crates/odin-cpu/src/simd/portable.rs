//! Plain arrays, for every processor; the compiler vectorises them where it can.
#![allow(unsafe_code)]

use super::{BIAS, MANTISSA, SQRT_HALF, Simd};

#[derive(Clone, Copy)]
pub(crate) struct Portable;

type Vector = [f32; 8];

// SAFETY of every block: pointers are valid for the accesses, by the contract of the trait.
impl Simd for Portable {
    type Vector = Vector;
    type Mask = [bool; 8];
    const LANES: usize = 8;
    const TILE_HEIGHTS: &'static [usize] = &[4, 2, 1];

    fn tile_vectors(_: usize) -> usize {
        1
    }

    #[inline(always)]
    fn prefetch_l1(self, _: *const f32) {}
    #[inline(always)]
    fn prefetch_l2(self, _: *const f32) {}
    #[inline(always)]
    fn splat(self, x: f32) -> Vector {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Vector {
        unsafe { from.cast::<Vector>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: Vector) {
        unsafe { to.cast::<Vector>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn load_first(self, n: usize, from: *const f32) -> Vector {
        let mut x = [0.0; 8];
        unsafe { x.as_mut_ptr().copy_from_nonoverlapping(from, n) }
        x
    }
    #[inline(always)]
    unsafe fn load_where(self, bits: u16, from: *const f32, otherwise: Vector) -> Vector {
        std::array::from_fn(|i| match bits >> i & 1 {
            1 => unsafe { *from.wrapping_add(i) },
            _ => otherwise[i],
        })
    }
    #[inline(always)]
    unsafe fn store_first(self, n: usize, to: *mut f32, x: Vector) {
        unsafe { to.copy_from_nonoverlapping(x.as_ptr(), n) }
    }
    #[inline(always)]
    fn add(self, a: Vector, b: Vector) -> Vector {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn mul(self, a: Vector, b: Vector) -> Vector {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn sub(self, a: Vector, b: Vector) -> Vector {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn div(self, a: Vector, b: Vector) -> Vector {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn sqrt(self, x: Vector) -> Vector {
        x.map(f32::sqrt)
    }
    #[inline(always)]
    fn abs(self, x: Vector) -> Vector {
        x.map(f32::abs)
    }
    #[inline(always)]
    fn with_sign(self, x: Vector, of: Vector) -> Vector {
        std::array::from_fn(|i| x[i].copysign(of[i]))
    }
    #[inline(always)]
    fn pow2(self, n: Vector) -> Vector {
        n.map(|n| f32::from_bits(((n as i32).wrapping_add(BIAS) as u32) << MANTISSA))
    }
    #[inline(always)]
    fn split(self, x: Vector) -> (Vector, Vector) {
        let exponent = |x: f32| (x.to_bits() as i32).wrapping_sub(SQRT_HALF) >> MANTISSA;
        let mantissa = |x: f32| x.to_bits().wrapping_sub((exponent(x) as u32) << MANTISSA);
        (
            x.map(|x| f32::from_bits(mantissa(x))),
            x.map(|x| exponent(x) as f32),
        )
    }
    #[inline(always)]
    fn gt(self, a: Vector, b: Vector) -> [bool; 8] {
        std::array::from_fn(|i| a[i] > b[i])
    }
    #[inline(always)]
    fn ge(self, a: Vector, b: Vector) -> [bool; 8] {
        std::array::from_fn(|i| a[i] >= b[i])
    }
    #[inline(always)]
    fn select(self, mask: [bool; 8], a: Vector, b: Vector) -> Vector {
        std::array::from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }
    /// Rounded twice: without an FMA instruction, a single rounding would call a slow library
    /// function.
    #[inline(always)]
    fn mul_add(self, a: Vector, b: Vector, c: Vector) -> Vector {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn relu(self, x: Vector) -> Vector {
        x.map(|x| if x < 0.0 { 0.0 } else { x })
    }
    #[inline(always)]
    fn bits(self, mask: [bool; 8]) -> u16 {
        let bit = |(i, &holds): (usize, &bool)| u16::from(holds) << i;
        mask.iter().enumerate().map(bit).sum()
    }
    #[inline(always)]
    fn keep_bits(self, bits: u16, x: Vector) -> Vector {
        std::array::from_fn(|i| if bits >> i & 1 == 1 { x[i] } else { 0.0 })
    }
    #[inline(always)]
    fn interleave(self, a: Vector, b: Vector) -> (Vector, Vector) {
        let at = |i: usize| {
            if i.is_multiple_of(2) {
                a[i / 2]
            } else {
                b[i / 2]
            }
        };
        (std::array::from_fn(at), std::array::from_fn(|i| at(i + 8)))
    }
    #[inline(always)]
    fn deinterleave(self, a: Vector, b: Vector) -> (Vector, Vector) {
        let at = |i: usize| if i < 8 { a[i] } else { b[i - 8] };
        (
            std::array::from_fn(|i| at(2 * i)),
            std::array::from_fn(|i| at(2 * i + 1)),
        )
    }
}
