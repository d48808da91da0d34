//! Sums of features, and of their products about the mean, of each class by itself.

use super::Moments;
use crate::linalg::check_classes;

/// Of a D x D matrix so large a part is kept of columns that are not in it yet.
const PART: usize = 4;

/// For each class its moments, made when its first image comes.
#[derive(Debug, Clone)]
pub(crate) struct ClassMoments {
    features: usize,
    /// None of any class where they are not kept, or would be too large.
    of_classes: Vec<Option<Moments>>,
}

impl ClassMoments {
    /// Of 0 classes where they are not kept.
    pub(crate) fn new(classes: usize, features: usize) -> Self {
        let fits = features > 0 && check_classes(classes, features).is_ok();
        Self {
            features,
            of_classes: vec![None; if fits { classes } else { 0 }],
        }
    }

    /// Adds an image of a class that has `before` images.
    pub(crate) fn add(&mut self, class: usize, before: u64, features: &[f32]) {
        let width = self.features;
        if let Some(moments) = self.of_classes.get_mut(class) {
            let moments = moments.get_or_insert_with(|| empty(width));
            moments.add(0, before, features);
        }
    }

    /// Adds the images of another, where the classes have `counts` and `other_counts` images.
    pub(crate) fn merge(&mut self, counts: &[u64], other: &Self, other_counts: &[u64]) {
        let classes = self.of_classes.iter_mut().zip(&other.of_classes);
        for (class, (own, others)) in classes.enumerate() {
            if let Some(others) = others {
                let own = own.get_or_insert_with(|| empty(other.features));
                own.merge(&counts[class..=class], others, &other_counts[class..=class]);
            }
        }
    }

    /// Whether those of so many classes are kept.
    pub(crate) fn is_kept(&self) -> bool {
        !self.of_classes.is_empty()
    }

    /// Of each class that has an image, with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Moments)> + Clone {
        let classes = self.of_classes.iter().enumerate();
        classes.filter_map(|(class, moments)| Some((class, moments.as_ref()?)))
    }

    pub(crate) fn set(&mut self, class: usize, moments: Moments) {
        if let Some(own) = self.of_classes.get_mut(class) {
            *own = Some(moments.with_columns(self.features / PART));
        }
    }
}

fn empty(features: usize) -> Moments {
    Moments::new(1, features).with_columns(features / PART)
}
