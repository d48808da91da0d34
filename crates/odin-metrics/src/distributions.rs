//! The binomial, beta and hypergeometric distributions at whole-numbered parameters.
//!
//! Everything rests on the binomial probability in C. Loader's saddle-point form, which keeps its
//! relative precision at any n: differences of log-gamma functions would lose digits as n grows
//! (*Fast and Accurate Computation of Binomial Probabilities*, 2000). `libm` instead of `std`,
//! whose logarithm and exponential differ between platforms.

use std::f64::consts::PI;

/// Terms of the continued fraction. It needs about the square root of the larger parameter, so
/// this suffices for counts of up to 10^12.
const MAX_TERMS: usize = 4_000_000;

/// A probability `p` and `q = 1 - p`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    pub(crate) p: f64,
    pub(crate) q: f64,
}

impl Chance {
    pub(crate) fn new(p: f64) -> Self {
        Self { p, q: 1.0 - p }
    }

    pub(crate) fn ratio(part: u64, whole: u64) -> Self {
        Self {
            p: part as f64 / whole as f64,
            q: (whole - part) as f64 / whole as f64,
        }
    }

    fn complement(self) -> Self {
        Self {
            p: self.q,
            q: self.p,
        }
    }
}

/// `P(K = k)` of `K ~ Binomial(n, p)`, for `k <= n`.
pub(crate) fn binomial_pmf(k: u64, n: u64, chance: Chance) -> f64 {
    let Chance { p, q } = chance;
    if k == 0 {
        return power(chance.complement(), n);
    }
    if k == n {
        return power(chance, n);
    }
    if p <= 0.0 || q <= 0.0 {
        return 0.0;
    }
    let (hits, misses, trials) = (k as f64, (n - k) as f64, n as f64);
    let exponent = stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(hits, trials * p)
        - deviance(misses, trials * q);
    libm::sqrt(trials / (2.0 * PI * hits * misses)) * libm::exp(exponent)
}

/// `P(K <= k)` of `K ~ Binomial(n, p)`.
pub(crate) fn binomial_cdf(k: u64, n: u64, chance: Chance) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_cdf(chance.complement(), n - k, k + 1)
}

/// `P(K = k)` where `K` counts the marked ones among `drawn` of `marked + unmarked`, without
/// replacement. Zero where `k` is impossible.
pub(crate) fn hypergeometric_pmf(k: u64, marked: u64, unmarked: u64, drawn: u64) -> f64 {
    if k > drawn.min(marked) || drawn - k > unmarked {
        return 0.0;
    }
    let all = marked + unmarked;
    if all == 0 {
        return 1.0;
    }
    let chance = Chance::ratio(drawn, all);
    binomial_pmf(k, marked, chance) * binomial_pmf(drawn - k, unmarked, chance)
        / binomial_pmf(drawn, all, chance)
}

/// `P(X <= x)` of `X ~ Beta(a, b)` with `a, b >= 1`: the regularised incomplete beta function
/// `I_x(a, b)`. `x` comes with `1 - x`.
pub(crate) fn beta_cdf(x: Chance, a: u64, b: u64) -> f64 {
    if x.p <= 0.0 {
        return 0.0;
    }
    if x.q <= 0.0 {
        return 1.0;
    }
    // The fraction converges fast on this side of the mean only; the other side is its mirror.
    if x.p * (a + b + 2) as f64 <= (a + 1) as f64 {
        beta_tail(x, a, b)
    } else {
        1.0 - beta_tail(x.complement(), b, a)
    }
}

/// The `x` with `P(X <= x) = probability` of `X ~ Beta(a, b)`, by bisection to the last bit.
pub(crate) fn beta_quantile(probability: f64, a: u64, b: u64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if beta_cdf(Chance::new(middle), a, b) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// `I_x(a, b)` by its continued fraction (DLMF 8.17.22). The factor before it,
/// `x^a (1 - x)^b / (a B(a, b))`, is `b / (a + b)` times a binomial probability.
fn beta_tail(x: Chance, a: u64, b: u64) -> f64 {
    let share = b as f64 / (a + b) as f64;
    share * binomial_pmf(a, a + b, x) / beta_fraction(x.p, a as f64, b as f64)
}

/// `1 + d1 / (1 + d2 / (1 + ...))`, forward by the modified Lentz method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let (mut numerator, mut denominator, mut value) = (1.0, 0.0, 1.0);
    for term in 1..MAX_TERMS {
        let m = (term / 2) as f64;
        let d = if term % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        denominator = 1.0 / nonzero(1.0 + d * denominator);
        numerator = nonzero(1.0 + d / numerator);
        let factor = numerator * denominator;
        value *= factor;
        if (factor - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    value
}

fn nonzero(value: f64) -> f64 {
    if value == 0.0 {
        f64::MIN_POSITIVE
    } else {
        value
    }
}

/// `p^n`.
fn power(chance: Chance, n: u64) -> f64 {
    if n == 0 {
        return 1.0;
    }
    // Near 1 the logarithm of `p` would miss the digits that `q` has.
    let log = if chance.q < 0.5 {
        libm::log1p(-chance.q)
    } else {
        libm::log(chance.p)
    };
    libm::exp(n as f64 * log)
}

/// `ln n! - ln(√(2πn) (n/e)^n)`, for `n >= 1`.
fn stirling_error(n: u64) -> f64 {
    let x = n as f64;
    if n <= 20 {
        let factorial = (1..=n).product::<u64>() as f64;
        return libm::log(factorial) - (x * libm::log(x) - x + 0.5 * libm::log(2.0 * PI * x));
    }
    const COEFFICIENTS: [f64; 5] = [
        1.0 / 1188.0,
        -1.0 / 1680.0,
        1.0 / 1260.0,
        -1.0 / 360.0,
        1.0 / 12.0,
    ];
    let inverse_square = 1.0 / (x * x);
    let sum = COEFFICIENTS
        .iter()
        .fold(0.0, |sum, coefficient| sum * inverse_square + coefficient);
    sum / x
}

/// `x ln(x / mean) + mean - x`, for `x, mean > 0`; by a series where its terms nearly cancel.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * libm::log(x / mean) - difference;
    }
    let v = difference / (x + mean);
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    for odd in (3..).step_by(2) {
        power *= v * v;
        let next = sum + power / f64::from(odd);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}
