//! Sums of the features of the images of each class that are classified correctly.

use super::add_sum;
use crate::numeric::add;

/// For each class the sum of the features of its images that are classified correctly, and their
/// number. Where labels are missing, all that are predicted to be of a class count.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    /// Empty for a class without such an image.
    sums: Vec<Vec<f64>>,
    images: Vec<u64>,
}

impl Patterns {
    pub(crate) fn new(classes: usize) -> Self {
        Self::of(vec![Vec::new(); classes], vec![0; classes])
    }

    /// Of as many sums as numbers.
    pub(crate) fn of(sums: Vec<Vec<f64>>, images: Vec<u64>) -> Self {
        Self { sums, images }
    }

    pub(crate) fn add(&mut self, class: usize, features: &[f32]) {
        let sum = &mut self.sums[class];
        sum.resize(features.len(), 0.0);
        add(sum, features);
        self.images[class] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, others) in self.sums.iter_mut().zip(&other.sums) {
            own.resize(own.len().max(others.len()), 0.0);
            add_sum(own, others);
        }
        for (own, others) in self.images.iter_mut().zip(&other.images) {
            *own += others;
        }
    }

    pub(crate) fn sums(&self) -> &[Vec<f64>] {
        &self.sums
    }

    pub(crate) fn images(&self) -> &[u64] {
        &self.images
    }
}
