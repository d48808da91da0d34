//! The one-dimensional transforms: evaluation of polynomials at `N - 1` points and infinity. Points
//! of similar size on both sides of 1 keep rounding errors small; docs/engine.md has measurements.

use super::WINDOW;
use crate::simd::Simd;

/// The transforms of `M` outputs with a receptive field of `N` inputs.
pub(super) trait Transform<const M: usize, const N: usize> {
    fn window(w: [f64; WINDOW]) -> [f64; N];
    fn input<S: Simd>(simd: S, x: [S::Vector; N]) -> [S::Vector; N];
    fn output<S: Simd>(simd: S, sums: [S::Vector; N]) -> [S::Vector; M];
}

/// The points 0, 1 and -1.
pub(super) struct Two;

impl Transform<2, 4> for Two {
    fn window([a, b, c]: [f64; WINDOW]) -> [f64; 4] {
        [-a, (a + b + c) / 2.0, (a - b + c) / 2.0, c]
    }

    #[inline(always)]
    fn input<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 4] {
        [
            simd.sub(c, a),
            simd.add(c, b),
            simd.sub(c, b),
            simd.sub(d, b),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 2] {
        let (even, odd) = (simd.add(b, c), simd.sub(b, c));
        [simd.add(a, even), simd.add(odd, d)]
    }
}

/// The points 0, `P`, `-P`, `Q` and `-Q`.
pub(super) struct Four;

impl Four {
    const P: f64 = 0.625;
    const Q: f64 = 1.5;
}

impl Transform<4, 6> for Four {
    fn window([a, b, c]: [f64; WINDOW]) -> [f64; 6] {
        let (p2, q2) = (Self::P * Self::P, Self::Q * Self::Q);
        let at = |point: f64, norm: f64| (a + b * point + c * point * point) / norm;
        let (p, q) = (2.0 * p2 * (p2 - q2), 2.0 * q2 * (q2 - p2));
        [
            a / (p2 * q2),
            at(Self::P, p),
            at(-Self::P, p),
            at(Self::Q, q),
            at(-Self::Q, q),
            c,
        ]
    }

    #[inline(always)]
    fn input<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::Vector; 6]) -> [S::Vector; 6] {
        let (p, q) = (Self::P, Self::Q);
        let by = |x: f64| simd.splat(x as f32);
        let (less_p2, less_q2) = (by(-p * p), by(-q * q));
        let (product, less_sum) = (by(p * p * q * q), by(-p * p - q * q));
        let even_p = simd.mul_add(less_q2, c, e);
        let odd_p = simd.mul(by(p), simd.mul_add(less_q2, b, d));
        let even_q = simd.mul_add(less_p2, c, e);
        let odd_q = simd.mul(by(q), simd.mul_add(less_p2, b, d));
        [
            simd.mul_add(product, a, simd.mul_add(less_sum, c, e)),
            simd.add(even_p, odd_p),
            simd.sub(even_p, odd_p),
            simd.add(even_q, odd_q),
            simd.sub(even_q, odd_q),
            simd.mul_add(product, b, simd.mul_add(less_sum, d, f)),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::Vector; 6]) -> [S::Vector; 4] {
        let (p, q) = (Self::P, Self::Q);
        let by = |x: f64| simd.splat(x as f32);
        let (even_p, odd_p) = (simd.add(b, c), simd.sub(b, c));
        let (even_q, odd_q) = (simd.add(d, e), simd.sub(d, e));
        [
            simd.add(a, simd.add(even_p, even_q)),
            simd.mul_add(by(p), odd_p, simd.mul(by(q), odd_q)),
            simd.mul_add(by(p * p), even_p, simd.mul(by(q * q), even_q)),
            simd.mul_add(by(p * p * p), odd_p, simd.mul_add(by(q * q * q), odd_q, f)),
        ]
    }
}
