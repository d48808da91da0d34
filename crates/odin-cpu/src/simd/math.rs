//! Elementary functions of vectors.
//!
//! Arguments are reduced to a short range, on which the function is approximated by a minimax
//! polynomial. Infinities, subnormal numbers and NaN are treated as by the functions of `f64`.
//! Largest errors over all arguments, in units in the last place of the true result, as a test
//! measures them on a million numbers of all magnitudes:
//!
//! | function | bound |
//! |---|---|
//! | [`exp`] | 1.0 |
//! | [`log`] | 0.8 |
//! | [`sigmoid`] | 2.1 |
//! | [`softplus`] | 1.8 |
//! | [`tanh`] | 1.3 |
//! | [`erf`] | 1.1 |

use super::Simd;

/// The polynomial with these coefficients, highest power first, by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::Vector, coefficients: &[f32]) -> S::Vector {
    let Some((&first, others)) = coefficients.split_first() else {
        return simd.splat(0.0);
    };
    let mut sum = simd.splat(first);
    for &c in others {
        sum = simd.mul_add(sum, x, simd.splat(c));
    }
    sum
}

/// Rounds to the nearest integer, for `|x| < 2^22`: numbers of the size of `1.5 · 2^23` have no
/// fraction bits.
#[inline(always)]
fn round<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let large = simd.splat(12_582_912.0);
    simd.sub(simd.add(x, large), large)
}

/// `x` clamped to two bounds; NaN stays NaN.
#[inline(always)]
pub(crate) fn clip<S: Simd>(simd: S, x: S::Vector, min: S::Vector, max: S::Vector) -> S::Vector {
    let above = simd.select(simd.gt(min, x), min, x);
    simd.select(simd.gt(above, max), max, above)
}

/// The larger of two; NaN if one is NaN.
#[inline(always)]
pub(crate) fn max<S: Simd>(simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
    // Where `a` is NaN, neither `a >= b` nor `a >= a` holds.
    let larger = simd.select(simd.ge(a, b), a, b);
    not_a_number(simd, a, b, larger)
}

/// The smaller of two; NaN if one is NaN.
#[inline(always)]
pub(crate) fn min<S: Simd>(simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
    let smaller = simd.select(simd.ge(b, a), a, b);
    not_a_number(simd, a, b, smaller)
}

/// `result`, or NaN where an operand is NaN.
#[inline(always)]
fn not_a_number<S: Simd>(simd: S, a: S::Vector, b: S::Vector, result: S::Vector) -> S::Vector {
    let result = simd.select(simd.ge(a, a), result, a);
    simd.select(simd.ge(b, b), result, b)
}

/// ln 2 as a sum of two parts. The first has so few digits that its product with an exponent is
/// exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `e^x`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    // Beyond, the result is infinite or 0.
    let x = clip(simd, x, simd.splat(-104.0), simd.splat(89.0));
    let (power, n) = exp_reduced(simd, x);
    // In two steps, since `2^n` itself may overflow. Only the second one rounds.
    let half = round(simd, simd.mul(n, simd.splat(0.5)));
    let power = simd.mul(power, simd.pow2(half));
    simd.mul(power, simd.pow2(simd.sub(n, half)))
}

/// `e^x` for `x` from -87 to 88, where neither it nor a power of 2 near it leaves the normal numbers:
/// the same bits as those of [`exp`].
#[inline(always)]
fn exp_of_moderate<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let (power, n) = exp_reduced(simd, x);
    simd.mul(power, simd.pow2(n))
}

/// `p` and an integer `n` with `e^x = p · 2^n` and `p` from `sqrt(1/2)` to `sqrt(2)`.
#[inline(always)]
fn exp_reduced<S: Simd>(simd: S, x: S::Vector) -> (S::Vector, S::Vector) {
    let n = round(simd, simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.mul_add(n, simd.splat(-LN_2[0]), x);
    let r = simd.mul_add(n, simd.splat(-LN_2[1]), r);
    let q = polynomial(
        simd,
        r,
        &[
            0.001_395_171_9,
            0.008_369_598,
            0.041_666_187,
            0.166_665_13,
            0.5,
        ],
    );
    let power = simd.add(simd.mul_add(simd.mul(r, r), q, r), simd.splat(1.0));
    (power, n)
}

/// `ln(x)`.
#[inline(always)]
pub(crate) fn log<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let zero = simd.splat(0.0);
    // Scales subnormal numbers into the normal range.
    let is_small = simd.gt(simd.splat(f32::MIN_POSITIVE), x);
    let scaled = simd.select(is_small, simd.mul(x, simd.splat(8_388_608.0)), x);
    let (m, n) = simd.split(scaled);
    let n = simd.sub(n, simd.select(is_small, simd.splat(23.0), zero));
    let f = simd.sub(m, simd.splat(1.0));
    let p = polynomial(
        simd,
        f,
        &[
            0.069_154_16,
            -0.117_898_21,
            0.118_729_61,
            -0.123_843_454,
            0.142_186_6,
            -0.166_692_51,
            0.200_022_27,
            -0.249_999_87,
            0.333_333_1,
        ],
    );
    let square = simd.mul(f, f);
    let low = simd.mul_add(simd.mul(square, f), p, simd.mul(n, simd.splat(LN_2[1])));
    let low = simd.mul_add(square, simd.splat(-0.5), low);
    let y = simd.mul_add(n, simd.splat(LN_2[0]), simd.add(f, low));
    let infinity = simd.splat(f32::INFINITY);
    // Also where `x` is NaN.
    let y = simd.select(simd.gt(infinity, x), y, x);
    let y = simd.select(simd.gt(zero, x), simd.splat(f32::NAN), y);
    let is_zero = simd.ge(zero, simd.abs(x));
    simd.select(is_zero, simd.splat(f32::NEG_INFINITY), y)
}

/// `ln(1 + x)` for `x` from 0 to 1.
#[inline(always)]
fn log_1p<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    let u = simd.add(x, one);
    // Compensates the rounding error of the sum to first order.
    let lost = simd.sub(x, simd.sub(u, one));
    simd.add(log(simd, u), simd.div(lost, u))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    let e = exp(simd, simd.sub(simd.splat(0.0), simd.abs(x)));
    let numerator = simd.select(simd.ge(x, simd.splat(0.0)), one, e);
    simd.div(numerator, simd.add(one, e))
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let e = exp(simd, simd.sub(simd.splat(0.0), simd.abs(x)));
    simd.add(simd.relu(x), log_1p(simd, e))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let (one, two) = (simd.splat(1.0), simd.splat(2.0));
    let size = simd.abs(x);
    let e = exp(simd, simd.add(size, size));
    let large = simd.sub(one, simd.div(two, simd.add(e, one)));
    // Near 0 the difference would cancel.
    let square = simd.mul(x, x);
    let p = polynomial(
        simd,
        square,
        &[
            0.002_147_539,
            -0.008_182_677,
            0.021_702_968,
            -0.053_947_205,
            0.133_332_1,
            -0.333_333_3,
        ],
    );
    let small = simd.mul_add(simd.mul(size, square), p, size);
    let is_small = simd.gt(simd.splat(0.625), size);
    simd.with_sign(simd.select(is_small, small, large), x)
}

/// The error function.
#[inline(always)]
pub(crate) fn erf<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let size = simd.abs(x);
    let square = simd.mul(x, x);
    // erf(x) / x - 1
    let p = polynomial(
        simd,
        square,
        &[
            8.538_841e-5,
            -8.181_927e-4,
            0.005_204_436,
            -0.026_860_753,
            0.112_837_2,
            -0.376_126_35,
            0.128_379_17,
        ],
    );
    let small = simd.mul_add(size, p, size);
    // ln(1 - erf(x)); from 4 on the result is 1.
    let t = simd.select(simd.gt(size, simd.splat(4.0)), simd.splat(4.0), size);
    let q = polynomial(
        simd,
        t,
        &[
            -2.090_947_6e-5,
            4.323_021_4e-4,
            -0.004_160_523,
            0.025_091_487,
            -0.108_236_6,
            -0.633_386_7,
            -1.129_495_2,
            1.705_509_5e-4,
        ],
    );
    let large = simd.sub(simd.splat(1.0), exp_of_moderate(simd, q));
    let is_small = simd.gt(simd.splat(0.9), size);
    simd.with_sign(simd.select(is_small, small, large), x)
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use crate::simd::{Isa, MAX_LANES, SimdTask};

    #[derive(Clone, Copy, Debug)]
    enum Function {
        Exp,
        Log,
        Sigmoid,
        Softplus,
        Tanh,
        Erf,
    }

    /// A function of as many numbers as the longest vector has.
    struct Apply(Function, [f32; MAX_LANES]);

    impl SimdTask for Apply {
        type Output = [f32; MAX_LANES];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; MAX_LANES] {
            let mut y = [0.0; MAX_LANES];
            for i in (0..MAX_LANES).step_by(S::LANES) {
                // SAFETY: both arrays hold whole vectors.
                unsafe {
                    let x = simd.load(self.1.as_ptr().add(i));
                    let result = match self.0 {
                        Function::Exp => exp(simd, x),
                        Function::Log => log(simd, x),
                        Function::Sigmoid => sigmoid(simd, x),
                        Function::Softplus => softplus(simd, x),
                        Function::Tanh => tanh(simd, x),
                        Function::Erf => erf(simd, x),
                    };
                    simd.store(y.as_mut_ptr().add(i), result);
                }
            }
            y
        }
    }

    impl Function {
        fn exact(self, x: f64) -> f64 {
            match self {
                Self::Exp => x.exp(),
                Self::Log => x.ln(),
                Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
                Self::Tanh => x.tanh(),
                Self::Erf => libm::erf(x),
            }
        }
    }

    /// The error in units in the last place of the true result.
    fn error(found: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        if found == rounded || (found.is_nan() && exact.is_nan()) {
            return 0.0;
        }
        let exponent = exact.abs().log2().floor().max(-126.0);
        (f64::from(found) - exact).abs() / (exponent - 23.0).exp2()
    }

    fn largest_error(isa: Isa, function: Function) -> (f64, f32) {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            1.0,
            -1.0,
            88.722_84,
            -103.972_08,
            0.625,
            0.9,
            4.0,
        ];
        let mut worst = (0.0, 0.0);
        let mut check = |x: [f32; MAX_LANES]| {
            for (x, y) in x.into_iter().zip(isa.dispatch(Apply(function, x))) {
                let error = error(y, function.exact(f64::from(x)));
                if error.is_nan() || error > worst.0 {
                    worst = (error, x);
                }
            }
        };
        check(special);
        for first in (0..=u32::MAX - 65_536).step_by(4001 * MAX_LANES) {
            check(std::array::from_fn(|i| {
                f32::from_bits(first + 4001 * i as u32)
            }));
        }
        worst
    }

    #[test]
    fn functions_are_as_exact_as_promised() {
        let bounds = [
            (Function::Exp, 1.0),
            (Function::Log, 0.8),
            (Function::Sigmoid, 2.1),
            (Function::Softplus, 1.8),
            (Function::Tanh, 1.3),
            (Function::Erf, 1.1),
        ];
        for isa in Isa::available() {
            for (function, bound) in bounds {
                let (error, x) = largest_error(isa, function);
                assert!(
                    error <= bound,
                    "{isa:?}: {function:?} of {x:e} is off by {error}"
                );
            }
        }
    }
}
