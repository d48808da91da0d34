//! How often each value occurs.

/// Values that wait are sorted once there are so many, or as many as there are levels.
const WAITING: usize = 1 << 16;
/// So many different values are counted exactly.
const MOST: usize = 1 << 22;
/// Where there are more, they are rounded to 16 binary digits, of which there are 2²⁴ at most.
const DROPPED: u32 = 8;

/// The different values of activations and how often each occurs: a histogram that loses nothing of up to
/// 2²² different values. Those of more are rounded to 16 binary digits, whatever order they came in.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    most: usize,
    /// Whether they are rounded.
    coarse: bool,
    /// Ordered bits, rising.
    keys: Vec<u32>,
    /// How often each occurs, from 1.
    counts: Vec<u64>,
    /// Ordered bits of values that are not among those yet.
    waiting: Vec<u32>,
}

impl Default for Levels {
    fn default() -> Self {
        Self::up_to(MOST)
    }
}

impl Levels {
    /// Without a value, and exact of so many different ones.
    fn up_to(most: usize) -> Self {
        Self {
            most,
            coarse: false,
            keys: Vec::new(),
            counts: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Of rising keys, each with a count from 1.
    pub(crate) fn of(keys: Vec<u32>, counts: Vec<u64>, coarse: bool) -> Self {
        let mut levels = Self {
            keys,
            counts,
            coarse,
            ..Self::default()
        };
        levels.bound();
        levels
    }

    pub(crate) fn add(&mut self, values: &[f32]) {
        self.waiting
            .extend(values.iter().map(|&value| ordered_bits(value)));
        if self.waiting.len() >= WAITING.max(self.keys.len()) {
            self.settle();
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.settle();
        self.waiting.extend_from_slice(&other.waiting);
        self.add_levels(&other.keys, &other.counts);
        if other.coarse {
            self.round();
        }
        self.bound();
    }

    /// The same with no value waiting.
    pub(crate) fn settled(&self) -> Self {
        let mut settled = self.clone();
        settled.settle();
        settled
    }

    /// Sorts in those that wait.
    fn settle(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable();
        let (keys, counts): (Vec<u32>, Vec<u64>) = waiting
            .chunk_by(|a, b| a == b)
            .map(|run| (run[0], run.len() as u64))
            .unzip();
        self.add_levels(&keys, &counts);
        if self.coarse {
            self.round();
        }
        self.bound();
    }

    /// Rounds them where they are too many. Whether they ever are depends on the values alone.
    fn bound(&mut self) {
        if self.keys.len() > self.most && !self.coarse {
            self.round();
        }
    }

    fn round(&mut self) {
        self.coarse = true;
        let rounded = |key: u32| ordered_bits(rounded(from_ordered_bits(key), DROPPED));
        let mut kept = 0;
        for i in 0..self.keys.len() {
            let key = rounded(self.keys[i]);
            let count = self.counts[i];
            if kept > 0 && self.keys[kept - 1] == key {
                self.counts[kept - 1] += count;
            } else {
                (self.keys[kept], self.counts[kept]) = (key, count);
                kept += 1;
            }
        }
        self.keys.truncate(kept);
        self.counts.truncate(kept);
    }

    /// Whether they are rounded; of settled ones.
    pub(crate) fn is_coarse(&self) -> bool {
        self.coarse
    }

    /// Whether a value can be among rounded ones.
    pub(crate) fn can_be_coarse(value: f32) -> bool {
        rounded(value, DROPPED).to_bits() == value.to_bits()
    }

    fn add_levels(&mut self, keys: &[u32], counts: &[u64]) {
        let own = self.keys.iter().copied().zip(self.counts.iter().copied());
        let other = keys.iter().copied().zip(counts.iter().copied());
        let (mut own, mut other) = (own.peekable(), other.peekable());
        let mut merged = Self {
            coarse: self.coarse,
            ..Self::up_to(self.most)
        };
        let length = self.keys.len().max(keys.len());
        merged.keys.reserve(length);
        merged.counts.reserve(length);
        loop {
            let next = match (own.peek(), other.peek()) {
                (Some(a), Some(b)) if a.0 > b.0 => other.next(),
                (Some(_), _) => own.next(),
                (None, _) => other.next(),
            };
            let Some((key, count)) = next else { break };
            match merged.counts.last_mut() {
                Some(last) if merged.keys.last() == Some(&key) => *last += count,
                _ => {
                    merged.keys.push(key);
                    merged.counts.push(count);
                }
            }
        }
        merged.waiting = std::mem::take(&mut self.waiting);
        *self = merged;
    }

    /// Keys, rising, with how often each occurs. Those that wait are left out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64)> + Clone + '_ {
        self.keys.iter().copied().zip(self.counts.iter().copied())
    }

    /// How many different values there are among those that do not wait.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> u64 {
        let settled = self.counts.iter().sum::<u64>();
        settled + self.waiting.len() as u64
    }

    /// The value of a rank from 0 in ascending order.
    pub(crate) fn ranked(&self, rank: u64) -> f32 {
        let waiting = self.waiting.iter().map(|&key| (key, 1));
        ranked(self.iter().chain(waiting), rank)
    }
}

/// The nearest number of 12 binary digits, of which there are so few that all of them can be counted:
/// within a share of 2⁻¹² of the value, and equal to it at 0.
pub(crate) fn coarse(value: f32) -> f32 {
    rounded(value, 12)
}

/// The nearest number whose last `dropped` bits are 0.
fn rounded(value: f32, dropped: u32) -> f32 {
    let bits = value.to_bits();
    let cut = |bits: u32| f32::from_bits(bits >> dropped << dropped);
    let nearest = cut(bits + (1 << (dropped - 1)));
    match nearest.is_finite() {
        true => nearest,
        // The largest numbers are rounded down.
        false => cut(bits),
    }
}

/// The value of a rank from 0 in ascending order, of ordered bits and how often each occurs, in any
/// order. Counts bits, first of their upper and then of their lower halves, because the activations
/// of a training set may be too many to copy.
pub(crate) fn ranked(levels: impl Iterator<Item = (u32, u64)> + Clone, mut rank: u64) -> f32 {
    let mut count_halves = |shift: u32, upper: Option<u32>| {
        let mut counts = vec![0u64; 1 << 16];
        for (bits, count) in levels.clone() {
            if upper.is_none_or(|upper| bits >> 16 == upper) {
                counts[(bits >> shift & 0xffff) as usize] += count;
            }
        }
        let mut half = 0;
        while half < 0xffff && rank >= counts[half] {
            rank -= counts[half];
            half += 1;
        }
        half as u32
    };
    let upper = count_halves(16, None);
    let lower = count_halves(0, Some(upper));
    from_ordered_bits(upper << 16 | lower)
}

/// Bits that are ordered as the numbers are.
pub(crate) fn ordered_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_sign_negative() {
        !bits
    } else {
        bits | 1 << 31
    }
}

pub(crate) fn from_ordered_bits(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 {
        bits & !(1 << 31)
    } else {
        !bits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_values_are_near_and_few() {
        let mut values = vec![0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1.0, -2.5];
        values.extend((0..20_000).map(|i| (i as f32 * 0.618).sin() * 3.0));
        for &value in &values {
            let near = coarse(value);
            assert!(
                (near - value).abs() <= value.abs() / 4096.0,
                "{value} {near}"
            );
            assert_eq!(coarse(near), near);
            assert_eq!(near.to_bits() & 0xfff, 0);
        }
    }

    #[test]
    fn ranks_are_those_of_the_sorted_values() {
        let values: Vec<f32> = (0..200_000u32)
            .map(|i| ((i.wrapping_mul(2_654_435_761) >> 20) as f32 - 2000.0) / 64.0)
            .collect();
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        let mut levels = Levels::default();
        for part in values.chunks(777) {
            levels.add(part);
        }
        let [mut left, mut right] = [Levels::default(), Levels::default()];
        left.add(&values[..70_000]);
        right.add(&values[70_000..]);
        right.merge(&left);
        assert!(levels.settled().iter().eq(right.settled().iter()));
        for rank in [0, 1, 77, 100_000, 180_000, 199_999] {
            assert_eq!(levels.ranked(rank), sorted[rank as usize]);
            assert_eq!(right.ranked(rank), sorted[rank as usize]);
        }
    }

    /// Rounded or not, they are the same in any order and parts.
    #[test]
    fn many_values_are_rounded_in_any_order() {
        let values: Vec<f32> = (0..200_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6 - 3.0)
            .collect();
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        sorted.dedup();
        let of = |most: usize, values: &[f32], part: usize| {
            let mut levels = Levels::up_to(most);
            values.chunks(part).for_each(|part| levels.add(part));
            levels
        };
        for (most, coarse) in [
            (sorted.len(), false),
            (sorted.len() - 1, true),
            (70_000, true),
        ] {
            let whole = of(most, &values, 777).settled();
            assert_eq!(whole.is_coarse(), coarse, "{most}");
            assert_eq!(whole.count(), 200_000);
            let (few, many) = (
                of(most, &values[..1000], 10),
                of(most, &values[1000..], 90_000),
            );
            for (mut one, other) in [(few.clone(), &many), (many.clone(), &few)] {
                one.merge(other);
                let one = one.settled();
                assert_eq!(one.is_coarse(), coarse, "{most}");
                assert!(one.iter().eq(whole.iter()), "{most}");
            }
            let all = of(values.len(), &values, 777);
            for rank in [0, 77, 100_000, 199_999] {
                let (near, value) = (whole.ranked(rank), all.ranked(rank));
                assert!(
                    (near - value).abs() <= value.abs() / 65_536.0,
                    "{near} {value}"
                );
                assert!(coarse || near == value);
            }
            assert!(
                !coarse
                    || whole
                        .iter()
                        .all(|(key, _)| Levels::can_be_coarse(from_ordered_bits(key)))
            );
        }
    }
}
