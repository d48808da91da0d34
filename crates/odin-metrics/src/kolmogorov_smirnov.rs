//! The two-sample Kolmogorov-Smirnov test.

use std::f64::consts::PI;

use crate::error::Error;
use crate::levels::leading;
use crate::sorted::sorted;

/// Cells of the recurrence up to which the p-value is exact; they take about a tenth of a second.
const MAX_CELLS: u128 = 1 << 25;

/// The two-sample Kolmogorov-Smirnov test; see [`kolmogorov_smirnov`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct KolmogorovSmirnov {
    /// The largest difference between the two empirical distribution functions, in [0, 1].
    pub statistic: f64,
    /// The probability of so large a difference when both samples come from one source.
    pub p_value: f64,
    /// Whether the p-value is exact (for scores without ties), or the limit for many scores.
    pub exact: bool,
}

/// Tests whether two samples of scores come from the same distribution, whatever it is: the
/// two-sided Kolmogorov-Smirnov test. It sees any difference of the distributions, best one in
/// their middle.
///
/// The p-value is exact as long as twice the statistic times the product of the two numbers of
/// scores is at most 2^25: always up to about 4,000 scores each, and up to about 30,000 where the
/// difference is small enough to be in doubt. Beyond, it is Kolmogorov's limit, which at these
/// sizes is too large by a few per cent of itself in the range that decides (by a third where a
/// million scores meet only 50). Ties make both too large. So either errs towards not finding a
/// difference.
///
/// Both assume independent images. Successive frames of a video are not, and make the p-value far
/// too small.
///
/// # Errors
/// [`ErrorKind::EmptyScores`](crate::ErrorKind::EmptyScores) or
/// [`ErrorKind::NonFiniteScore`](crate::ErrorKind::NonFiniteScore).
pub fn kolmogorov_smirnov(before: &[f64], after: &[f64]) -> Result<KolmogorovSmirnov, Error> {
    let before = sorted("earlier", before)?;
    let after = sorted("later", after)?;
    let (rows, columns) = (before.len().max(after.len()), before.len().min(after.len()));
    let distance = scaled_distance(&before, &after);
    let statistic = distance as f64 / (rows as f64 * columns as f64);
    let exact = 2 * distance <= MAX_CELLS;
    let p_value = if exact {
        exact_p_value(distance as i128, rows, columns)
    } else {
        let effective = rows as f64 * (columns as f64 / (rows as f64 + columns as f64));
        limiting_p_value(libm::sqrt(effective) * statistic)
    };
    Ok(KolmogorovSmirnov {
        statistic,
        p_value,
        exact,
    })
}

/// `max |i n - j m|` over all thresholds, of `m` and `n` scores of which `i` and `j` are not above
/// the threshold: the statistic times `m n`.
fn scaled_distance(a: &[f64], b: &[f64]) -> u128 {
    let (mut i, mut j, mut largest) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let next = x.min(*y);
        i += leading(&a[i..], |score| score == next);
        j += leading(&b[j..], |score| score == next);
        let (left, right) = (i as u128 * b.len() as u128, j as u128 * a.len() as u128);
        largest = largest.max(left.abs_diff(right));
    }
    largest
}

/// The probability that a random order of `m` and `n` scores reaches `|i n - j m| >= distance`.
///
/// An order is a path from (0, 0) to (m, n). The last step to (i, j) came from (i - 1, j) with
/// probability i / (i + j), so the probability of having reached the distance by (i, j) is 1
/// where the distance is reached there, and else the mean of the two places before. Only the band
/// in between is computed (`2 distance` cells), row by row in one vector; nothing is subtracted,
/// so small p-values keep their digits.
fn exact_p_value(distance: i128, m: usize, n: usize) -> f64 {
    let (rows, columns) = (m as i128, n as i128);
    let mut reached = vec![1.0; n + 1];
    for i in 0..=m {
        let centre = i as i128 * columns;
        let first = ((centre - distance).div_euclid(rows) + 1).max(0) as usize;
        // One past the last `j` with `j m < i n + distance`.
        let end = ((centre + distance - 1).div_euclid(rows) + 1).min(columns + 1) as usize;
        let mut left = 1.0;
        if let Some(outside) = first.checked_sub(1) {
            reached[outside] = 1.0;
        }
        for (j, cell) in reached.iter_mut().enumerate().take(end).skip(first) {
            if i + j == 0 {
                *cell = 0.0;
            } else {
                let weight = 1.0 / (i + j) as f64;
                *cell = *cell * (i as f64 * weight) + left * (j as f64 * weight);
            }
            left = *cell;
        }
    }
    reached[n].min(1.0)
}

/// Kolmogorov's limit of `P(√effective · statistic >= x)`; by the series of the two that converges
/// at once (NIST Digital Library of Mathematical Functions 20.7.32 turns one into the other).
fn limiting_p_value(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let p_value = if x >= 1.0 {
        let term = |k: i32| libm::exp(-2.0 * f64::from(k * k) * x * x);
        2.0 * (1..=4).map(|k| term(2 * k - 1) - term(2 * k)).sum::<f64>()
    } else {
        let term = |k: i32| libm::exp(-f64::from((2 * k - 1).pow(2)) * PI * PI / (8.0 * x * x));
        1.0 - libm::sqrt(2.0 * PI) / x * (1..=4).map(term).sum::<f64>()
    };
    p_value.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: `scipy.stats.kstwobign.sf`.
    #[test]
    fn the_limit_agrees_with_scipy() {
        let cases = [
            (0.2, 0.999999999999495),
            (0.5, 0.9639452436648751),
            (0.99, 0.2808738392255489),
            (1.0, 0.26999967167735456),
            (1.01, 0.25943416909359746),
            (1.6276, 0.010001537333060776),
            (3.0, 3.045995948942526e-08),
            (8.0, 5.14441874528483e-56),
        ];
        for (x, expected) in cases {
            let off = (limiting_p_value(x) - expected).abs();
            assert!(off <= 1e-12 * expected, "{x}: {}", limiting_p_value(x));
        }
        assert_eq!(limiting_p_value(0.0), 1.0);
        assert_eq!(limiting_p_value(40.0), 0.0);
    }

    /// Where one gives way to the other they agree, and the limit is the larger.
    #[test]
    fn the_limit_is_near_the_exact_value_and_above() {
        for (m, n) in [(6000, 6000), (6001, 4999), (9000, 2000)] {
            let effective = m as f64 * n as f64 / (m + n) as f64;
            for x in [0.9, 1.36, 1.63, 1.95] {
                let distance = (x / effective.sqrt() * m as f64 * n as f64) as i128;
                let x = distance as f64 / (m as f64 * n as f64) * effective.sqrt();
                let exact = exact_p_value(distance, m, n);
                let ratio = limiting_p_value(x) / exact;
                assert!((0.999..1.06).contains(&ratio), "{m}, {n}, {x}: {ratio}");
            }
        }
    }
}
