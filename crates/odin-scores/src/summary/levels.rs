//! How often each value occurs.

/// Values that wait are sorted once there are so many, or as many as there are levels.
const WAITING: usize = 1 << 16;

/// The different values of activations and how often each occurs: a histogram that loses nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Levels {
    /// Ordered bits, rising.
    keys: Vec<u32>,
    /// How often each occurs, from 1.
    counts: Vec<u64>,
    /// Ordered bits of values that are not among those yet.
    waiting: Vec<u32>,
}

impl Levels {
    /// Of rising keys, each with a count from 1.
    pub(crate) fn of(keys: Vec<u32>, counts: Vec<u64>) -> Self {
        Self {
            keys,
            counts,
            waiting: Vec::new(),
        }
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
    }

    fn add_levels(&mut self, keys: &[u32], counts: &[u64]) {
        let own = self.keys.iter().copied().zip(self.counts.iter().copied());
        let other = keys.iter().copied().zip(counts.iter().copied());
        let (mut own, mut other) = (own.peekable(), other.peekable());
        let mut merged = Self::default();
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
    const DROPPED: u32 = 12;
    let bits = value.to_bits();
    let cut = |bits: u32| f32::from_bits(bits >> DROPPED << DROPPED);
    let nearest = cut(bits + (1 << (DROPPED - 1)));
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
}
