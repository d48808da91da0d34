//! How much memory may be made out of a graph: an operator of a few bytes can stand for gigabytes.

use crate::{Error, ErrorKind};

/// The bytes that may still be made of a graph before it runs: of a file's constants and functions
/// while it is read, and by the rules and passes that add constants. What a graph is made of is
/// counted before it is allocated, and copies of the graph go on with what is left.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    limit: u64,
    left: u64,
}

impl Budget {
    /// The budget of a graph that no file limits.
    const DEFAULT: u64 = 4 << 30;

    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, left: limit }
    }

    /// The bytes that are left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Adds bytes that there is reason for, such as those of a further file.
    pub fn extend(&mut self, bytes: u64) {
        self.limit = self.limit.saturating_add(bytes);
        self.left = self.left.saturating_add(bytes);
    }

    /// Takes out the bytes of `count` values of type `T`, which are about to be made. Once there
    /// were not as many, nothing is left.
    ///
    /// # Errors
    /// `TooLarge` if not as many are left.
    pub fn spend<T>(&mut self, count: usize) -> Result<(), Error> {
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(0);
        match left {
            Some(_) => Ok(()),
            None => Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "constants and functions unfold to more than {} bytes, which a file of this size should not need",
                    self.limit
                ),
            )),
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone() {
        let mut budget = Budget::new(10);
        assert!(budget.spend::<f32>(2).is_ok());
        assert_eq!(budget.left(), 2);
        budget.extend(3);
        let error = budget.spend::<u8>(6).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("more than 13 bytes"), "{error}");
        assert!(budget.spend::<u8>(1).is_err());
        assert!(Budget::default().spend::<u64>(usize::MAX).is_err());
    }
}
