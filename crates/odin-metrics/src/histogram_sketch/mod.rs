//! A histogram of scores whose bins have a bounded relative width, and whose merge is exact.

mod bounds;
mod bytes;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bounds::BoundSums;
pub use bounds::Bounds;

use crate::error::{Error, ErrorKind};
use crate::exact;
use crate::metrics::Metrics;
use crate::order::{from_ordered_bits, ordered_bits};
use crate::sorted::check_finite;
use crate::threshold::{check_tpr, fewest};

/// Bits of the significand of an f64 after its first.
const SIGNIFICAND: u32 = 52;

/// Precisions that a sketch may have.
const PRECISIONS: RangeInclusive<u32> = 0..=SIGNIFICAND;

/// Counts up to here are exact as f64.
const MAX_SCORES: u64 = 1 << 53;

/// How many scores of each side fall into each bin, for scores that are never in one place: each
/// machine makes a sketch of its own, and their merge is the sketch of all scores.
///
/// A bin holds the numbers that agree in sign, exponent and the first `precision` bits after the
/// leading one of their significand, so that its width is at most `2^-precision` of its numbers
/// (below 2.2e-308, of that number). Such log-linear bins are those of HdrHistogram; they need no
/// range that is known beforehand, and resolve scores that all lie within a thousandth. Counts are
/// whole numbers: merging is associative and commutative, and loses nothing.
///
/// What the bins leave open is told: [`bounds`](Self::bounds) are those within which the metrics
/// of the scores themselves lie. [`metrics`](Self::metrics) takes the scores of a bin for tied; it
/// is exact where each bin has scores of one value, which at a precision of 23 is so for all scores
/// that were computed as (normal) f32.
///
/// Only bins with scores are kept: at most as many as there are different scores, and `2^precision`
/// for each power of two that they span. Scores between 0.1 and 0.101 have up to about 134,000 bins
/// at a precision of 23; each takes about 40 bytes, and 3 to 6 in [`to_bytes`](Self::to_bytes).
///
/// ```
/// use odin_metrics::{HistogramSketch, Scores};
///
/// # fn main() -> Result<(), odin_metrics::Error> {
/// let mut here = HistogramSketch::new(HistogramSketch::PRECISION)?;
/// here.add_in(&[0.1004, 0.1003])?;
/// here.add_out(&[0.1001])?;
///
/// let mut there = HistogramSketch::new(HistogramSketch::PRECISION)?;
/// there.add_in(&[0.1002])?;
/// there.add_out(&[0.10025, 0.1])?;
///
/// here.merge(&HistogramSketch::from_bytes(&there.to_bytes())?)?;
/// let all = Scores::new(&[0.1004, 0.1003, 0.1002], &[0.1001, 0.10025, 0.1])?;
/// assert_eq!(here.metrics()?, all.exact());
///
/// let auroc = here.bounds()?.auroc;
/// assert!(auroc.lower <= all.exact().auroc && all.exact().auroc <= auroc.upper);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSketch {
    precision: u32,
    /// By the first bits of the ordered bits of their scores. No bin is empty.
    bins: BTreeMap<u64, Bin>,
    total: Bin,
}

/// Numbers of scores of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bin {
    in_count: u64,
    out_count: u64,
}

impl Bin {
    fn add(&mut self, other: Self) {
        self.in_count += other.in_count;
        self.out_count += other.out_count;
    }
}

impl HistogramSketch {
    /// The precision that gives each (normal) f32 a bin of its own.
    pub const PRECISION: u32 = 23;

    /// Without scores. All sketches that are to be merged need the same precision, from 0 (a bin
    /// for each power of two) to 52 (a bin for each f64).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPrecision`] when it is out of that range.
    pub fn new(precision: u32) -> Result<Self, Error> {
        if !PRECISIONS.contains(&precision) {
            return Err(Error::new(
                ErrorKind::InvalidPrecision,
                format!(
                    "the precision of a histogram sketch is from {} to {} bits, not {precision}; \
                     {} suits scores computed as f32",
                    PRECISIONS.start(),
                    PRECISIONS.end(),
                    Self::PRECISION
                ),
            ));
        }
        Ok(Self {
            precision,
            bins: BTreeMap::new(),
            total: Bin::default(),
        })
    }

    /// Adds in-distribution scores, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::NonFiniteScore`], [`ErrorKind::TooManyScores`]; nothing is added then.
    pub fn add_in(&mut self, scores: &[f64]) -> Result<(), Error> {
        self.add("in-distribution", scores, |in_count| Bin {
            in_count,
            out_count: 0,
        })
    }

    /// Adds out-of-distribution scores, in any order.
    ///
    /// # Errors
    /// Those of [`add_in`](Self::add_in).
    pub fn add_out(&mut self, scores: &[f64]) -> Result<(), Error> {
        self.add("out-of-distribution", scores, |out_count| Bin {
            in_count: 0,
            out_count,
        })
    }

    fn add(&mut self, side: &str, scores: &[f64], bin: fn(u64) -> Bin) -> Result<(), Error> {
        check_finite(side, scores)?;
        let total = self.total_with(bin(scores.len() as u64))?;
        let mut keys: Vec<u64> = scores.iter().map(|score| self.key(*score)).collect();
        keys.sort_unstable();
        for run in keys.chunk_by(|a, b| a == b) {
            self.bins
                .entry(run[0])
                .or_default()
                .add(bin(run.len() as u64));
        }
        self.total = total;
        Ok(())
    }

    /// Adds all scores of another sketch.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidPrecision`] when the precisions differ, [`ErrorKind::TooManyScores`];
    /// nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.precision != other.precision {
            return Err(Error::new(
                ErrorKind::InvalidPrecision,
                format!(
                    "a histogram sketch of {} bits of precision cannot be merged into one of {}; \
                     make all of them with the same precision",
                    other.precision, self.precision
                ),
            ));
        }
        let total = self.total_with(other.total)?;
        for (key, bin) in &other.bins {
            self.bins.entry(*key).or_default().add(*bin);
        }
        self.total = total;
        Ok(())
    }

    /// The total after more scores, none of whose counts then overflows.
    fn total_with(&self, more: Bin) -> Result<Bin, Error> {
        let sum = |a: u64, b: u64| a.checked_add(b).filter(|sum| *sum <= MAX_SCORES);
        let in_count = sum(self.total.in_count, more.in_count);
        let out_count = sum(self.total.out_count, more.out_count);
        match (in_count, out_count) {
            (Some(in_count), Some(out_count)) => Ok(Bin {
                in_count,
                out_count,
            }),
            _ => Err(Error::new(
                ErrorKind::TooManyScores,
                format!(
                    "a histogram sketch holds up to 2^53 scores of a side; here are {} and {} \
                     in-distribution scores, {} and {} out-of-distribution scores",
                    self.total.in_count, more.in_count, self.total.out_count, more.out_count
                ),
            )),
        }
    }

    /// Bits of the significand by which bins are told apart.
    pub fn precision(&self) -> u32 {
        self.precision
    }

    /// Number of in-distribution scores.
    pub fn n_in(&self) -> u64 {
        self.total.in_count
    }

    /// Number of out-of-distribution scores.
    pub fn n_out(&self) -> u64 {
        self.total.out_count
    }

    /// Number of bins that have scores.
    pub fn bins(&self) -> usize {
        self.bins.len()
    }

    /// The exact metrics ([`Scores::exact`](crate::Scores::exact)) with all scores of a bin taken
    /// for tied. They lie within the [`bounds`](Self::bounds).
    ///
    /// # Errors
    /// [`ErrorKind::EmptyScores`] when a side has no score.
    pub fn metrics(&self) -> Result<Metrics, Error> {
        self.check_sides()?;
        let levels = self.bins.values().map(|bin| (bin.in_count, bin.out_count));
        Ok(exact::metrics(levels, self.n_in(), self.n_out()))
    }

    /// Bounds of the exact metrics of the scores themselves, from all orders and ties that the
    /// scores of each bin may have.
    ///
    /// At precisions below 52, some scores of these bins attain each of them, but for the lower
    /// ones of AUPR, which may be too low. AUROC is known to within the share of pairs, one score
    /// of each side, that are in one bin.
    ///
    /// # Errors
    /// [`ErrorKind::EmptyScores`] when a side has no score.
    pub fn bounds(&self) -> Result<Metrics<Bounds>, Error> {
        self.check_sides()?;
        let mut sums = BoundSums::new(self.n_in(), self.n_out());
        for bin in self.bins.values() {
            sums.add(*bin);
        }
        Ok(sums.bounds())
    }

    /// Bounds of [`threshold_at_tpr`](crate::threshold_at_tpr): the ends of its bin. With the lower
    /// one as threshold, the TPR is at least `tpr`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTpr`] unless `0 < tpr <= 1`, [`ErrorKind::EmptyScores`] without
    /// in-distribution scores.
    pub fn threshold_at_tpr(&self, tpr: f64) -> Result<Bounds, Error> {
        check_tpr(tpr)?;
        check_side("in-distribution", self.n_in())?;
        let kept = fewest(self.n_in(), tpr);
        let mut in_from = 0;
        let key = self.bins.iter().rev().find_map(|(key, bin)| {
            in_from += bin.in_count;
            (in_from >= kept).then_some(*key)
        });
        Ok(self.ends(key.unwrap_or_default()))
    }

    /// Bounds of the TPR at a threshold: the share of in-distribution scores `>=` it. They are equal
    /// where the threshold is the lower end of a bin.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidThreshold`] when it is not finite, [`ErrorKind::EmptyScores`] without
    /// in-distribution scores.
    pub fn tpr_at(&self, threshold: f64) -> Result<Bounds, Error> {
        check_side("in-distribution", self.n_in())?;
        self.share_from(threshold, self.n_in(), |bin| bin.in_count)
    }

    /// The same of the FPR: the share of out-of-distribution scores `>=` the threshold.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidThreshold`] when it is not finite, [`ErrorKind::EmptyScores`] without
    /// out-of-distribution scores.
    pub fn fpr_at(&self, threshold: f64) -> Result<Bounds, Error> {
        check_side("out-of-distribution", self.n_out())?;
        self.share_from(threshold, self.n_out(), |bin| bin.out_count)
    }

    fn share_from(
        &self,
        threshold: f64,
        total: u64,
        count: fn(&Bin) -> u64,
    ) -> Result<Bounds, Error> {
        if !threshold.is_finite() {
            return Err(Error::new(
                ErrorKind::InvalidThreshold,
                format!("the threshold is {threshold}; it must be finite"),
            ));
        }
        let key = self.key(threshold);
        let above: u64 = self.bins.range(key + 1..).map(|(_, bin)| count(bin)).sum();
        let beside = self.bins.get(&key).map_or(0, count);
        let certain = threshold == self.ends(key).lower;
        Ok(Bounds::of_shares(
            above + if certain { beside } else { 0 },
            above + beside,
            total,
        ))
    }

    fn check_sides(&self) -> Result<(), Error> {
        check_side("in-distribution", self.n_in())?;
        check_side("out-of-distribution", self.n_out())
    }

    /// Bits that are not in the key.
    fn shift(&self) -> u32 {
        SIGNIFICAND - self.precision
    }

    /// The bin of a finite score. Adding zero makes -0.0 the same as 0.0.
    fn key(&self, score: f64) -> u64 {
        ordered_bits(score + 0.0) >> self.shift()
    }

    /// The lowest and the highest number of a bin.
    fn ends(&self, key: u64) -> Bounds {
        let lowest = key << self.shift();
        Bounds {
            lower: from_ordered_bits(lowest),
            upper: from_ordered_bits(lowest | ((1 << self.shift()) - 1)),
        }
    }
}

fn check_side(side: &str, scores: u64) -> Result<(), Error> {
    if scores > 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::EmptyScores,
        format!("the histogram sketch has no {side} scores; at least one is needed"),
    ))
}
