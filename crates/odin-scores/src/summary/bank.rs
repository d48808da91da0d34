//! Rows that are kept as they are, and are ordered by what is in them.

use std::cmp::Ordering;

/// Rows of one width, in no order. What is read of them is ordered by their bits, so that it is the
/// same in whatever order they came.
#[derive(Debug, Clone)]
pub(crate) struct Bank {
    width: usize,
    values: Vec<f32>,
}

impl Bank {
    /// `width` is not 0.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            values: Vec::new(),
        }
    }

    /// `values.len()` must be a multiple of `width`, which is not 0.
    pub(crate) fn of(width: usize, values: Vec<f32>) -> Self {
        Self { width, values }
    }

    /// Adds a row of a first value and `width - 1` others.
    pub(crate) fn push(&mut self, first: f32, others: &[f32]) {
        debug_assert_eq!(self.width, others.len() + 1);
        self.values.push(first);
        self.values.extend_from_slice(others);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.values.extend_from_slice(&other.values);
    }

    /// All values, in no order.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows in their order. Those that are equal cannot be told apart.
    pub(crate) fn ordered(&self) -> Vec<&[f32]> {
        let mut rows: Vec<&[f32]> = self.values.chunks_exact(self.width).collect();
        rows.sort_unstable_by(|a, b| order(a, b));
        rows
    }

    /// Whether the rows lie in their order.
    pub(crate) fn is_ordered(&self) -> bool {
        let rows = self.values.chunks_exact(self.width);
        rows.is_sorted_by(|a, b| order(a, b) != Ordering::Greater)
    }
}

fn order(a: &[f32], b: &[f32]) -> Ordering {
    let bits = |value: &f32| value.to_bits();
    a.iter().map(bits).cmp(b.iter().map(bits))
}
