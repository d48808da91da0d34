//! How far activations shift, of a bounded number of images.

/// AdaSCALE's Q' of images, each with a hash of its features; of more than a number those with the
/// least hashes.
#[derive(Debug, Clone)]
pub(crate) struct Shifts {
    most: usize,
    images: u64,
    /// The hash, and the bits of the shift, which is not negative.
    values: Vec<(u64, u64)>,
}

impl Shifts {
    pub(crate) fn new(most: u64) -> Self {
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            images: 0,
            values: Vec::new(),
        }
    }

    /// Of so many images, of which these are kept.
    pub(crate) fn of(most: u64, images: u64, values: Vec<(u64, u64)>) -> Self {
        Self {
            images,
            values,
            ..Self::new(most)
        }
    }

    pub(crate) fn push(&mut self, hash: u64, shift: f64) {
        self.images += 1;
        self.values.push((hash, shift.to_bits()));
        self.drop_others();
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.images += other.images;
        self.values.extend_from_slice(&other.values);
        self.drop_others();
    }

    fn drop_others(&mut self) {
        if self.values.len() / 2 > self.most {
            self.values = self.kept();
        }
    }

    /// Those that are kept, by their hashes.
    pub(crate) fn kept(&self) -> Vec<(u64, u64)> {
        let mut values = self.values.clone();
        values.sort_unstable();
        values.truncate(self.most);
        values
    }

    /// How many images there were.
    pub(crate) fn images(&self) -> u64 {
        self.images
    }

    /// Those that are kept, rising.
    pub(crate) fn rising(&self) -> Vec<f64> {
        let kept = self.kept().into_iter();
        let mut shifts: Vec<f64> = kept.map(|(_, bits)| f64::from_bits(bits)).collect();
        shifts.sort_unstable_by(f64::total_cmp);
        shifts
    }
}
