//! Proportions: Wilson and Clopper-Pearson intervals, Newcombe's interval of a difference, Fisher's exact test.

use crate::distributions::{beta_quantile, hypergeometric_pmf};
use crate::error::{Error, ErrorKind};
use crate::interval::{Interval, TAILS};

/// The largest total. It keeps Fisher's test below a second.
const MAX_TOTAL: u64 = 1 << 40;

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Tables whose probabilities differ by less than this, relatively, count as equally likely in
/// Fisher's test: far above rounding, far below any difference that matters.
const EQUALLY_LIKELY: f64 = 1e-10;

/// How many of how many, such as rejected images of all images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    total: u64,
}

impl Rate {
    /// `count` of `total`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRate`] unless `count <= total` and `total` is from 1 to 2^40.
    pub fn new(count: u64, total: u64) -> Result<Self, Error> {
        if count > total || !(1..=MAX_TOTAL).contains(&total) {
            return Err(Error::new(
                ErrorKind::InvalidRate,
                format!(
                    "{count} of {total} is no rate; the total must be from 1 to {MAX_TOTAL} and \
                     the count no more than the total"
                ),
            ));
        }
        Ok(Self { count, total })
    }

    /// The share of `scores` below a threshold: the images that a detector rejects.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRate`] without scores, [`ErrorKind::InvalidThreshold`] unless the
    /// threshold is finite.
    pub fn rejected(scores: &[f64], threshold: f64) -> Result<Self, Error> {
        if !threshold.is_finite() {
            return Err(Error::new(
                ErrorKind::InvalidThreshold,
                format!("the threshold {threshold} is not finite"),
            ));
        }
        let rejected = scores.iter().filter(|score| **score < threshold).count();
        Self::new(rejected as u64, scores.len() as u64)
    }

    /// The count.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The total.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// `count / total`.
    pub fn share(&self) -> f64 {
        self.count as f64 / self.total as f64
    }

    /// The 95 % score interval of the true rate (Wilson 1927). It stays in [0, 1], and has a
    /// width also where the count is 0.
    pub fn interval(&self) -> Interval {
        let (n, share) = (self.total as f64, self.share());
        let shrink = 1.0 / (1.0 + Z * Z / n);
        let centre = shrink * (share + Z * Z / (2.0 * n));
        let variance = share * (1.0 - share) / n + Z * Z / (4.0 * n * n);
        let half = shrink * Z * libm::sqrt(variance);
        Interval {
            // Rounding must not exclude what was observed.
            lower: if self.count == 0 { 0.0 } else { centre - half },
            upper: if self.count == self.total {
                1.0
            } else {
                centre + half
            },
        }
    }
}

impl Rate {
    /// The exact 95 % interval of the true rate (Clopper and Pearson 1934), from quantiles of the
    /// beta distribution as [`calibrate`](crate::calibrate) has them of a TPR. It covers with at
    /// least 95 %, also where a threshold was chosen to let this count of these pass: the rate of
    /// new ones is then distributed as an order statistic, which lies within.
    ///
    /// ```
    /// let none_of_ten = odin_metrics::Rate::new(0, 10)?.exact_interval();
    /// assert_eq!(none_of_ten.lower, 0.0);
    /// assert!((none_of_ten.upper - 0.3085).abs() < 1e-4);
    /// # Ok::<(), odin_metrics::Error>(())
    /// ```
    pub fn exact_interval(&self) -> Interval {
        let (count, others) = (self.count, self.total - self.count);
        Interval {
            lower: match count {
                0 => 0.0,
                _ => beta_quantile(TAILS.0, count, others + 1),
            },
            upper: match others {
                0 => 1.0,
                _ => beta_quantile(TAILS.1, count + 1, others),
            },
        }
    }
}

/// Two rates compared.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RateChange {
    /// The earlier rate.
    pub before: Rate,
    /// The later rate.
    pub after: Rate,
    /// The later share less the earlier one.
    pub difference: f64,
    /// 95 % interval of the true difference, from the two Wilson intervals (Newcombe 1998,
    /// *Interval estimation for the difference between independent proportions*, method 10).
    pub interval: Interval,
    /// The probability of a table no more likely than this when both true rates are the same:
    /// Fisher's exact test, two-sided, at any size.
    pub p_value: f64,
}

impl RateChange {
    /// From one rate to another, of different images.
    pub fn between(before: Rate, after: Rate) -> Self {
        let difference = after.share() - before.share();
        let (earlier, later) = (before.interval(), after.interval());
        let down = libm::hypot(after.share() - later.lower, earlier.upper - before.share());
        let up = libm::hypot(later.upper - after.share(), before.share() - earlier.lower);
        Self {
            before,
            after,
            difference,
            interval: Interval {
                lower: difference - down,
                upper: difference + up,
            },
            p_value: Table::of(before, after).p_value(before.count),
        }
    }
}

/// The 2x2 tables with the same margins as two rates, told apart by the earlier count.
#[derive(Debug, Clone, Copy)]
struct Table {
    before: u64,
    after: u64,
    counts: u64,
}

impl Table {
    fn of(before: Rate, after: Rate) -> Self {
        Self {
            before: before.total,
            after: after.total,
            counts: before.count + after.count,
        }
    }

    fn probability(self, count: u64) -> f64 {
        hypergeometric_pmf(count, self.before, self.after, self.counts)
    }

    /// The sum of the probabilities that are no larger than that of `observed`. They rise up to
    /// the most likely count and fall after it, so those are two tails.
    fn p_value(self, observed: u64) -> f64 {
        let least = self.counts.saturating_sub(self.after);
        let most = self.counts.min(self.before);
        let likeliest = self.likeliest();
        let limit = self.probability(observed) * (1.0 + EQUALLY_LIKELY);
        if self.probability(likeliest) <= limit {
            return 1.0;
        }
        let likelier = |count: &u64| self.probability(*count) > limit;
        let body_start = first(least, likeliest, |count| likelier(&count));
        let body_end = first(likeliest, most + 1, |count| !likelier(&count));
        let lower = match body_start.checked_sub(1) {
            Some(start) if start >= least => self.tail(start, |count| self.fewer(count)),
            _ => 0.0,
        };
        let upper = match body_end {
            start if start <= most => self.tail(start, |count| self.more(count)),
            _ => 0.0,
        };
        (lower + upper).min(1.0)
    }

    fn likeliest(self) -> u64 {
        let product = (u128::from(self.counts) + 1) * (u128::from(self.before) + 1);
        (product / (u128::from(self.before) + u128::from(self.after) + 2)) as u64
    }

    /// The probabilities from `count` on, in the direction in which they fall.
    fn tail(self, count: u64, step: impl Fn(u64) -> (u64, f64)) -> f64 {
        let (mut count, mut term, mut sum) = (count, self.probability(count), 0.0);
        while sum + term != sum {
            sum += term;
            let (next, ratio) = step(count);
            count = next;
            term *= ratio;
        }
        sum
    }

    /// The count above, and how much less likely it is; 0 at the end.
    fn more(self, count: u64) -> (u64, f64) {
        let up = (self.before - count) as f64 * (self.counts - count) as f64;
        let down = (count + 1) as f64 * (self.after + count + 1 - self.counts) as f64;
        (count + 1, up / down)
    }

    /// The count below, and how much less likely it is; 0 at the end.
    fn fewer(self, count: u64) -> (u64, f64) {
        let down = count as f64 * (self.after + count - self.counts) as f64;
        let up = (self.before - count + 1) as f64 * (self.counts - count + 1) as f64;
        (count.saturating_sub(1), down / up)
    }
}

/// The first of `low..high` with a condition that, once met, stays met; `high` if none has it.
fn first(mut low: u64, mut high: u64, condition: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if condition(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
