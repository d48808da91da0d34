//! The distinct scores of both sides in order, and how often each occurs on either.

/// A score and how many of each side have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Level {
    pub(crate) score: f64,
    pub(crate) in_count: u64,
    pub(crate) out_count: u64,
}

/// The levels of two ascending sides of finite scores, from the lowest to the highest, or from the
/// highest down: a linear merge that allocates nothing.
#[derive(Debug, Clone)]
pub(crate) struct Levels<'a> {
    in_scores: &'a [f64],
    out_scores: &'a [f64],
}

impl<'a> Levels<'a> {
    pub(crate) fn new(in_scores: &'a [f64], out_scores: &'a [f64]) -> Self {
        Self {
            in_scores,
            out_scores,
        }
    }
}

impl Iterator for Levels<'_> {
    type Item = Level;

    fn next(&mut self) -> Option<Level> {
        let lowest = |scores: &[f64]| scores.first().copied().unwrap_or(f64::INFINITY);
        let score = f64::min(lowest(self.in_scores), lowest(self.out_scores));
        score.is_finite().then(|| Level {
            score,
            in_count: take_leading(&mut self.in_scores, score),
            out_count: take_leading(&mut self.out_scores, score),
        })
    }
}

impl DoubleEndedIterator for Levels<'_> {
    fn next_back(&mut self) -> Option<Level> {
        let highest = |scores: &[f64]| scores.last().copied().unwrap_or(f64::NEG_INFINITY);
        let score = f64::max(highest(self.in_scores), highest(self.out_scores));
        score.is_finite().then(|| Level {
            score,
            in_count: take_trailing(&mut self.in_scores, score),
            out_count: take_trailing(&mut self.out_scores, score),
        })
    }
}

/// Removes the first scores as far as they equal `score`, and counts them.
fn take_leading(scores: &mut &[f64], score: f64) -> u64 {
    // Without ties, which side has the next score is chance: the first is counted without a branch.
    let mut count = usize::from(scores.first() == Some(&score));
    while scores.get(count) == Some(&score) {
        count += 1;
    }
    *scores = &scores[count..];
    count as u64
}

/// Removes the last scores as far as they equal `score`, and counts them.
fn take_trailing(scores: &mut &[f64], score: f64) -> u64 {
    let mut left = scores.len() - usize::from(scores.last() == Some(&score));
    while left > 0 && scores[left - 1] == score {
        left -= 1;
    }
    let count = scores.len() - left;
    *scores = &scores[..left];
    count as u64
}

/// Length of the longest prefix all of whose scores satisfy `condition`.
pub(crate) fn leading(scores: &[f64], condition: impl Fn(f64) -> bool) -> usize {
    scores.iter().take_while(|score| condition(**score)).count()
}

/// Length of the longest suffix all of whose scores satisfy `condition`.
pub(crate) fn trailing(scores: &[f64], condition: impl Fn(f64) -> bool) -> usize {
    scores
        .iter()
        .rev()
        .take_while(|score| condition(**score))
        .count()
}
