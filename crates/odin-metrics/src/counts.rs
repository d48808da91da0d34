//! Cumulative counts of sorted scores, of a sample and of its bootstrap resamples.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::Rng;

/// How often each score of one sorted side occurs, as cumulative counts.
///
/// In the sample itself each occurs once; in a bootstrap resample any number of times. A metric
/// is a function of these counts at places in the sorted order, which are found once: no
/// resample is ever sorted.
#[derive(Debug, Clone)]
pub(crate) struct Cumulative {
    /// `below[i]` is the count of the scores before place `i`; one entry more than scores.
    below: Vec<u64>,
}

impl Cumulative {
    fn one_of_each(scores: usize) -> Self {
        Self {
            below: (0..=scores as u64).collect(),
        }
    }

    /// Count of the scores before `place`.
    pub(crate) fn below(&self, place: usize) -> u64 {
        self.below[place]
    }

    /// Count of the scores at `place` and after it.
    pub(crate) fn from(&self, place: usize) -> u64 {
        self.total() - self.below[place]
    }

    /// Count of all scores; the same for the sample and all its resamples.
    pub(crate) fn total(&self) -> u64 {
        self.below.len() as u64 - 1
    }

    /// Share of the scores before `place`.
    pub(crate) fn share_below(&self, place: usize) -> f64 {
        share(self.below(place), self.total())
    }

    /// Share of the scores at `place` and after it.
    pub(crate) fn share_from(&self, place: usize) -> f64 {
        share(self.from(place), self.total())
    }

    /// Draws as many scores as there are, with replacement.
    fn resample(&mut self, rng: &mut ChaCha8Rng) {
        let (first, counts) = match self.below.split_first_mut() {
            Some(parts) => parts,
            None => return,
        };
        *first = 0;
        counts.fill(0);
        for _ in 0..counts.len() {
            counts[index_below(counts.len(), rng)] += 1;
        }
        let mut sum = 0;
        for count in counts {
            sum += *count;
            *count = sum;
        }
    }
}

/// The counts of both sides.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) in_scores: Cumulative,
    pub(crate) out_scores: Cumulative,
}

impl Counts {
    pub(crate) fn one_of_each(n_in: usize, n_out: usize) -> Self {
        Self {
            in_scores: Cumulative::one_of_each(n_in),
            out_scores: Cumulative::one_of_each(n_out),
        }
    }

    /// A stratified resample: both sides keep their size.
    pub(crate) fn resample(&mut self, rng: &mut ChaCha8Rng) {
        self.in_scores.resample(rng);
        self.out_scores.resample(rng);
    }
}

/// `count / total`. The division is correctly rounded, so a share that is mathematically 0.95
/// equals the literal `0.95`.
pub(crate) fn share(count: u64, total: u64) -> f64 {
    count as f64 / total as f64
}

/// A uniform index in `0..n` by multiplication (Lemire 2019) without its rejection step, which
/// would correct a bias below n / 2^64.
fn index_below(n: usize, rng: &mut ChaCha8Rng) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}
