//! A compact empirical distribution of calibration scores, for percentiles and conformal p-values.

use crate::error::{Error, ErrorKind};
use crate::sorted::sorted;

/// Where every later rank is exact: this many of the lowest scores are all kept.
const LOWEST: u64 = 500;

/// Above 2^53 ranks would not be exact as `f64`.
const MAX_IMAGES: u64 = 1 << 53;

/// The in-distribution scores of a calibration, kept compactly, so that a later score can be
/// placed among them.
///
/// At most [`MAX_KEPT`](Self::MAX_KEPT) pairs of rank and score are kept. Rank `r` is that of the
/// `r`-th lowest score, from 1 to `n`; equal scores have successive ranks. Of more scores than
/// that, all of the 500 lowest are kept, then ranks evenly spread up to the highest: the low tail
/// is where decisions fall.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceScores {
    images: u64,
    ranks: Vec<u64>,
    scores: Vec<f64>,
}

impl ReferenceScores {
    /// The most pairs of rank and score that are kept.
    pub const MAX_KEPT: usize = 1000;

    /// From all in-distribution scores, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::EmptyScores`] or [`ErrorKind::NonFiniteScore`].
    pub fn new(in_scores: &[f64]) -> Result<Self, Error> {
        let ascending = sorted("in-distribution", in_scores)?;
        let images = ascending.len() as u64;
        let ranks = kept_ranks(images);
        let scores = ranks.iter().map(|&r| ascending[r as usize - 1]).collect();
        Ok(Self {
            images,
            ranks,
            scores,
        })
    }

    /// From the parts of another: the number of images, the kept ranks, and the scores at them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidReference`] unless there are as many scores as ranks, from 1 to
    /// [`MAX_KEPT`](Self::MAX_KEPT); the ranks rise strictly from 1 to `images`, which is at most
    /// 2^53; and the scores are finite and never fall.
    pub fn from_parts(images: u64, ranks: Vec<u64>, scores: Vec<f64>) -> Result<Self, Error> {
        check_parts(images, &ranks, &scores)
            .map_err(|problem| Error::new(ErrorKind::InvalidReference, problem))?;
        Ok(Self {
            images,
            ranks,
            scores,
        })
    }

    /// Number of scores that there were, `n`.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// The kept ranks, rising from 1 to `n`.
    pub fn ranks(&self) -> &[u64] {
        &self.ranks
    }

    /// The scores at the kept ranks.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The percentage of the in-distribution scores that are `<= score`, from 0 to 100.
    ///
    /// Exact below the 500th lowest score, and everywhere when all scores were kept; else
    /// interpolated linearly between the kept neighbours, within the bounds that they set. A score
    /// of NaN counts as lower than all.
    pub fn percentile(&self, score: f64) -> f64 {
        let place = self.place(score);
        let count = match place.checked_sub(1) {
            None => 0.0,
            Some(before) => {
                let least = self.ranks[before];
                let open = self.rank_or_end(place) - 1 - least;
                least as f64 + open as f64 * self.way(before, score)
            }
        };
        100.0 * (count / self.images as f64)
    }

    /// The conformal p-value of a score: `(1 + k) / (n + 1)` with `k` the number of
    /// in-distribution scores `<= score` (Vovk, Gammerman and Shafer, *Algorithmic Learning in a
    /// Random World*, 2005). Small means unlike the in-distribution images.
    ///
    /// For a new in-distribution image, exchangeable with those of the calibration, the
    /// probability of a p-value `<= α` is at most `α`, at any `n` and for any α. Where thinning
    /// leaves `k` open the largest possible one is taken, so that this holds all the same. A score
    /// of NaN counts as lower than all.
    pub fn p_value(&self, score: f64) -> f64 {
        let first_above = self.rank_or_end(self.place(score));
        first_above as f64 / (self.images as f64 + 1.0)
    }

    /// The scores as a sample that can be compared with another: all of them where all were kept,
    /// else [`MAX_KEPT`](Self::MAX_KEPT) quantiles at evenly spaced ranks, interpolated linearly
    /// between the kept ones. Its distribution function is within 0.003 of that of all scores.
    pub fn sample(&self) -> Vec<f64> {
        if self.images <= Self::MAX_KEPT as u64 {
            return self.scores.clone();
        }
        let spacing = self.images as f64 / Self::MAX_KEPT as f64;
        let ranks = (0..Self::MAX_KEPT).map(|i| (i as f64 + 0.5) * spacing + 0.5);
        ranks.map(|rank| self.at_rank(rank)).collect()
    }

    /// The score at a rank, which need not be whole.
    fn at_rank(&self, rank: f64) -> f64 {
        let above = self.ranks.partition_point(|kept| (*kept as f64) <= rank);
        let (Some(before), Some(&high)) = (above.checked_sub(1), self.scores.get(above)) else {
            return self.scores[above.min(self.scores.len() - 1)];
        };
        let (low, from, to) = (self.scores[before], self.ranks[before], self.ranks[above]);
        let way = (rank - from as f64) / (to - from) as f64;
        low + (high - low) * way
    }

    /// Number of kept scores `<= score`.
    fn place(&self, score: f64) -> usize {
        self.scores.partition_point(|kept| *kept <= score)
    }

    /// The rank at a place, or `n + 1` after the last.
    fn rank_or_end(&self, place: usize) -> u64 {
        self.ranks.get(place).copied().unwrap_or(self.images + 1)
    }

    /// How far `score` is on the way from the kept score `before` to the next, in [0, 1].
    fn way(&self, before: usize, score: f64) -> f64 {
        match self.scores.get(before + 1) {
            None => 0.0,
            Some(next) => {
                let start = self.scores[before];
                let way = (score - start) / (next - start);
                // The difference of two finite numbers may overflow; that of their halves cannot.
                if (next - start).is_finite() {
                    way
                } else {
                    (0.5 * score - 0.5 * start) / (0.5 * next - 0.5 * start)
                }
            }
        }
    }
}

/// All ranks up to `n`, or the lowest and then evenly spread ones, always with the first and the
/// last.
fn kept_ranks(n: u64) -> Vec<u64> {
    let most = ReferenceScores::MAX_KEPT as u64;
    if n <= most {
        return (1..=n).collect();
    }
    let steps = most - LOWEST;
    let spread = |step: u64| {
        let above = u128::from(n - LOWEST) * u128::from(step) / u128::from(steps);
        LOWEST + above as u64
    };
    (1..=LOWEST).chain((1..=steps).map(spread)).collect()
}

fn check_parts(images: u64, ranks: &[u64], scores: &[f64]) -> Result<(), String> {
    let most = ReferenceScores::MAX_KEPT;
    if !(1..=MAX_IMAGES).contains(&images) {
        return Err(format!(
            "reference scores are of 1 to 2^53 images, not of {images}"
        ));
    }
    if ranks.len() != scores.len() || !(1..=most).contains(&ranks.len()) {
        return Err(format!(
            "reference scores have as many ranks as scores, from 1 to {most}; here are {} ranks \
             and {} scores",
            ranks.len(),
            scores.len()
        ));
    }
    let (first, last) = (ranks[0], ranks[ranks.len() - 1]);
    if (first, last) != (1, images) {
        return Err(format!(
            "the ranks of reference scores run from 1 to the number of images, {images}; these run \
             from {first} to {last}"
        ));
    }
    if let Some(i) = ranks.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(format!(
            "the ranks of reference scores rise; here {} is followed by {}",
            ranks[i],
            ranks[i + 1]
        ));
    }
    if let Some(i) = scores.iter().position(|score| !score.is_finite()) {
        return Err(format!(
            "the reference score of rank {} is {}; scores must be finite",
            ranks[i], scores[i]
        ));
    }
    if let Some(i) = scores.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(format!(
            "reference scores never fall with their rank; here rank {} has {} and rank {} has {}",
            ranks[i],
            scores[i],
            ranks[i + 1],
            scores[i + 1]
        ));
    }
    Ok(())
}
