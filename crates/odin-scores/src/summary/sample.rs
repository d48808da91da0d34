//! Rows of which a bounded number is kept, drawn by hashes of what is in them.

use std::cmp::Ordering;

/// So many rows are kept whatever their hashes, so that a small share of few rows is exact.
const FEW: u64 = 8192;
/// Of a share, rows are kept up to this factor above it: of more than [`FEW`] drawn rows, a deviation of
/// eight standard deviations and more.
const MARGIN: f64 = 1.1;

/// Which rows are drawn: those with the least hashes under a seed, a share of all but at most so many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Draw {
    pub(crate) seed: u64,
    /// At least 1.
    pub(crate) most: u64,
    /// Above 0 and at most 1.
    pub(crate) share: f64,
}

impl Draw {
    pub(crate) fn new(seed: u64, most: usize, share: f64) -> Self {
        Self {
            seed,
            most: most as u64,
            share,
        }
    }

    /// How many are drawn of so many: the share, rounded up.
    pub(crate) fn count(&self, rows: u64) -> u64 {
        let share = (self.share * rows as f64).ceil() as u64;
        share.max(1).min(self.most).min(rows)
    }

    /// What holds all that this and another of the same seed draw.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            most: self.most.max(other.most),
            share: self.share.max(other.share),
            ..self
        }
    }

    /// Whether what `other` draws of so many rows is among the `held` rows that a sample of this holds.
    /// They are fewer than were to be drawn where many have one hash.
    fn holds(&self, other: &Self, rows: u64, held: usize) -> bool {
        let count = other.count(rows);
        let drawn_alike = self.share >= other.share && self.most >= count;
        self.seed == other.seed && (held as u64 >= count || drawn_alike)
    }

    /// How many of these rising hashes are kept. Whether a row is depends on it and on those of lesser
    /// hashes alone, so that rows that were dropped from a part are not missed in the whole.
    fn kept(&self, hashes: &[u64]) -> usize {
        let below = self.below();
        let few = hashes.len().min(FEW as usize);
        let of_share = hashes.partition_point(|hash| *hash <= below);
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        of_share.max(few).min(most)
    }

    fn below(&self) -> u64 {
        match self.share < 1.0 {
            // Saturates.
            true => (MARGIN * self.share * 2f64.powi(64)) as u64,
            false => u64::MAX,
        }
    }
}

/// Rows of one width, in no order, of which those are kept that a [`Draw`] may need. What is kept is the
/// same in whatever order they came, and however they were merged.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    draw: Draw,
    width: usize,
    /// How many rows there were.
    seen: u64,
    values: Vec<f32>,
    /// Of each row.
    hashes: Vec<u64>,
    /// Rows of a larger hash are not kept.
    bound: u64,
    /// As soon as there are so many rows, those that are not kept are dropped.
    full: usize,
}

impl Sample {
    /// `width` is not 0.
    pub(crate) fn new(draw: Draw, width: usize) -> Self {
        Self {
            draw,
            width,
            seen: 0,
            values: Vec::new(),
            hashes: Vec::new(),
            bound: u64::MAX,
            full: full(draw.most.min(FEW) as usize),
        }
    }

    pub(crate) fn draw(&self) -> Draw {
        self.draw
    }

    /// Adds a row of a first value and `width - 1` others, by which it is drawn.
    pub(crate) fn push(&mut self, first: f32, others: &[f32]) {
        debug_assert_eq!(self.width, others.len() + 1);
        self.seen += 1;
        let hash = hash(others, self.draw.seed);
        if hash <= self.bound {
            self.make_room();
            self.values.push(first);
            self.values.extend_from_slice(others);
            self.hashes.push(hash);
            self.drop_others();
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        let rows = other.values.chunks_exact(self.width);
        for (row, &hash) in rows.zip(&other.hashes) {
            if hash <= self.bound {
                self.make_room();
                self.values.extend_from_slice(row);
                self.hashes.push(hash);
                self.drop_others();
            }
        }
    }

    /// Says of how many rows these are left; whether that can be.
    pub(crate) fn set_seen(&mut self, seen: u64) -> bool {
        let held = self.by_hash().len() as u64;
        let Draw { most, share, .. } = self.draw;
        let least = if share < 1.0 { most.min(FEW) } else { most };
        let can_be = held == self.seen && held <= seen && held >= seen.min(least);
        self.seen = seen;
        can_be
    }

    /// A vector that doubles would take up to twice what it holds.
    fn make_room(&mut self) {
        if self.values.capacity() < self.values.len() + self.width {
            let rows = (self.hashes.len() / 8).max(16);
            self.values.reserve_exact(rows * self.width);
        }
    }

    fn drop_others(&mut self) {
        if self.hashes.len() < self.full {
            return;
        }
        let order = self.order();
        let kept = &order[..self.kept(&order)];
        let last = kept.last().map_or(u64::MAX, |&row| self.hashes[row]);
        if kept.len() as u64 >= self.draw.most {
            self.bound = last;
        } else if kept.len() as u64 >= FEW {
            self.bound = self.draw.below().max(last);
        }
        self.full = full(kept.len());
        self.retain(kept.to_vec());
    }

    fn retain(&mut self, mut rows: Vec<usize>) {
        rows.sort_unstable();
        for (to, &from) in rows.iter().enumerate() {
            let from_values = from * self.width..(from + 1) * self.width;
            self.values.copy_within(from_values, to * self.width);
            self.hashes[to] = self.hashes[from];
        }
        self.hashes.truncate(rows.len());
        self.values.truncate(rows.len() * self.width);
    }

    /// Indices of the rows, in the order of their hashes and then of what is in them.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.hashes.len()).collect();
        order.sort_unstable_by(|&a, &b| {
            let by_hash = self.hashes[a].cmp(&self.hashes[b]);
            by_hash.then_with(|| compare(self.row(a), self.row(b)))
        });
        order
    }

    fn kept(&self, order: &[usize]) -> usize {
        let hashes: Vec<u64> = order.iter().map(|&row| self.hashes[row]).collect();
        self.draw.kept(&hashes)
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    /// How many rows there were.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether no row was dropped.
    pub(crate) fn is_all(&self) -> bool {
        let held = self.hashes.len() as u64;
        let surely = held <= self.draw.most && (held <= FEW || self.draw.share == 1.0);
        held == self.seen && (surely || self.by_hash().len() as u64 == held)
    }

    /// Those that are kept, the least hashes first.
    fn by_hash(&self) -> Vec<&[f32]> {
        let mut order = self.order();
        order.truncate(self.kept(&order));
        order.into_iter().map(|row| self.row(row)).collect()
    }

    /// Those that are kept, in the order of what is in them. Those that are equal cannot be told apart.
    pub(crate) fn ordered(&self) -> Vec<&[f32]> {
        let mut rows = self.by_hash();
        rows.sort_unstable_by(|a, b| compare(a, b));
        rows
    }

    /// What `draw` draws of all rows, in the order of the hashes, or of what is in them where those are
    /// all; `None` where that is no longer there.
    pub(crate) fn drawn(&self, draw: &Draw) -> Option<Vec<&[f32]>> {
        let count = draw.count(self.seen) as usize;
        let mut rows = self.by_hash();
        if rows.len() as u64 == self.seen {
            rows.sort_unstable_by(|a, b| compare(a, b));
            if count < rows.len() {
                rows.sort_by_cached_key(|row| hash(&row[1..], draw.seed));
            }
        } else if !self.draw.holds(draw, self.seen, rows.len()) {
            return None;
        }
        rows.truncate(count);
        Some(rows)
    }
}

/// An eighth more, so that rows are seldom dropped.
fn full(kept: usize) -> usize {
    kept.saturating_add(kept / 8).saturating_add(64)
}

/// Compares rows by their bits.
pub(crate) fn compare(a: &[f32], b: &[f32]) -> Ordering {
    let bits = |value: &f32| value.to_bits();
    a.iter().map(bits).cmp(b.iter().map(bits))
}

/// Multiplies by the odd number nearest to 2⁶⁴ divided by the golden ratio, and folds the upper bits
/// onto the lower ones, after each value's bits.
pub(crate) fn hash(values: &[f32], seed: u64) -> u64 {
    values
        .iter()
        .fold(seed, |hash, value| mixed(hash, value.to_bits().into()))
}

pub(crate) fn mixed(hash: u64, bits: u64) -> u64 {
    let mixed = (hash ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<[f32; 3]> {
        let value = |i: usize| (i as f32 * 0.618).sin();
        // Some are there twice and more.
        (0..count)
            .map(|i| i - usize::from(i % 7 == 6))
            .map(|i| [i as f32, value(i), value(i * i % 1000 + i)])
            .collect()
    }

    fn sample(draw: Draw, rows: &[[f32; 3]]) -> Sample {
        let mut sample = Sample::new(draw, 3);
        for row in rows {
            sample.push(row[0], &row[1..]);
        }
        sample
    }

    fn draws() -> [Draw; 6] {
        [
            Draw::new(0, 100, 1.0),
            Draw::new(1, 100, 1.0),
            Draw::new(0, 20_000, 0.3),
            Draw::new(0, 100, 0.001),
            Draw::new(5, usize::MAX, 0.25),
            Draw::new(0, usize::MAX, 1.0),
        ]
    }

    #[test]
    fn a_draw_is_of_the_least_hashes_in_any_order_and_parts() {
        let rows = rows(40_000);
        for draw in draws() {
            let mut expected: Vec<[f32; 3]> = rows.clone();
            expected.sort_unstable_by(|a, b| compare(a, b));
            let count = draw.count(rows.len() as u64) as usize;
            if count < rows.len() {
                expected.sort_by_cached_key(|row| hash(&row[1..], draw.seed));
            }
            expected.truncate(count);
            let mut backwards: Vec<[f32; 3]> = rows.clone();
            backwards.reverse();
            let mut merged = sample(draw, &rows[25_000..]);
            merged.merge(&sample(draw, &rows[..9_000]));
            merged.merge(&sample(draw, &rows[9_000..25_000]));
            for sample in [sample(draw, &rows), sample(draw, &backwards), merged] {
                assert_eq!(sample.drawn(&draw).unwrap(), expected, "{draw:?}");
                assert_eq!(sample.seen(), 40_000);
            }
        }
    }

    #[test]
    fn only_what_may_be_drawn_is_held() {
        let rows = rows(60_000);
        for (draw, most) in draws().into_iter().zip([200, 200, 23_000, 200, 19_000]) {
            let sample = sample(draw, &rows);
            assert!(
                sample.hashes.len() <= most,
                "{draw:?} {}",
                sample.hashes.len()
            );
            assert!(sample.values.capacity() <= 4 * most, "{draw:?}");
            assert!(!sample.is_all());
        }
    }

    #[test]
    fn what_is_dropped_is_not_drawn() {
        let rows = rows(10_000);
        let few = sample(Draw::new(0, 100, 1.0), &rows);
        for (draw, there) in [
            (Draw::new(0, 100, 1.0), true),
            (Draw::new(0, 30, 1.0), true),
            (Draw::new(0, 1000, 0.01), true),
            (Draw::new(0, 101, 1.0), false),
            (Draw::new(1, 100, 1.0), false),
        ] {
            assert_eq!(few.drawn(&draw).is_some(), there, "{draw:?}");
        }
        let all = sample(Draw::new(0, 50, 1.0), &rows[..50]);
        assert_eq!(all.drawn(&Draw::new(9, 20, 1.0)).unwrap().len(), 20);
    }
}
