//! The features of images: those that are drawn, and sums of the products of all.

use super::moments::Moments;
use super::sample::{Draw, Sample};

/// Rows of the largest logit and the features of the images that are drawn, for each seed, and the
/// products of the features of all.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    features: usize,
    /// By seeds, rising.
    samples: Vec<Sample>,
    /// Where the products are needed, of how many images they can be made of the rows: of the first
    /// sample, which has as many at least.
    spread_beyond: Option<u64>,
    /// Of all images, as one class, once they are more.
    spread: Option<Moments>,
}

impl Rows {
    /// Draws are of different seeds, rising; where products are needed, the first holds all of as many
    /// images as `spread_beyond` says.
    pub(crate) fn new(features: usize, draws: &[Draw], spread_beyond: Option<u64>) -> Self {
        let sample = |&draw: &Draw| Sample::new(draw, features.saturating_add(1));
        Self {
            features,
            samples: draws.iter().map(sample).collect(),
            spread_beyond,
            spread: None,
        }
    }

    pub(crate) fn push(&mut self, largest_logit: f32, features: &[f32]) {
        if self.spreads_with(1) {
            let before = self.images();
            let mut spread = self.spread.take().unwrap_or_else(|| self.spread_of_rows());
            spread.add(0, before, features);
            self.spread = Some(spread);
        }
        for sample in &mut self.samples {
            sample.push(largest_logit, features);
        }
    }

    /// Of another with the same draws.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.spreads_with(other.images()) {
            let counts = [self.images(), other.images()];
            let mut spread = self.spread.take().unwrap_or_else(|| self.spread_of_rows());
            let of_rows = other.spread.is_none().then(|| other.spread_of_rows());
            if let Some(others) = of_rows.as_ref().or(other.spread.as_ref()) {
                spread.merge(&counts[..1], others, &counts[1..]);
            }
            self.spread = Some(spread);
        }
        for (own, others) in self.samples.iter_mut().zip(&other.samples) {
            own.merge(others);
        }
    }

    /// Whether the rows do not suffice for the products of so many more images.
    fn spreads_with(&self, more: u64) -> bool {
        let images = self.images().saturating_add(more);
        self.spread_beyond.is_some_and(|most| images > most)
    }

    fn spread_of_rows(&self) -> Moments {
        let mut spread = Moments::new(1, self.features);
        let rows = self.samples.first().map(Sample::ordered);
        for (before, row) in (0..).zip(rows.unwrap_or_default()) {
            spread.add(0, before, &row[1..]);
        }
        spread
    }

    fn images(&self) -> u64 {
        self.samples.first().map_or(0, Sample::seen)
    }

    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Of the same draws.
    pub(crate) fn set_samples(&mut self, samples: Vec<Sample>) {
        self.samples = samples;
    }

    pub(crate) fn draws(&self) -> Vec<Draw> {
        self.samples.iter().map(Sample::draw).collect()
    }

    /// The rows that are drawn; `None` where they are not all there.
    pub(crate) fn drawn(&self, draw: &Draw) -> Option<Vec<&[f32]>> {
        self.samples.iter().find_map(|sample| sample.drawn(draw))
    }

    /// The rows of all images, where none was dropped.
    pub(crate) fn all(&self) -> Option<Vec<&[f32]>> {
        let mut samples = self.samples.iter();
        samples.find(|sample| sample.is_all()).map(Sample::ordered)
    }

    /// Whether rows do not suffice for the products.
    pub(crate) fn needs_spread(&self) -> bool {
        self.spreads_with(0)
    }

    /// The products of all images, where rows do not suffice for them.
    pub(crate) fn spread(&self) -> Option<&Moments> {
        self.spread.as_ref()
    }

    pub(crate) fn set_spread(&mut self, spread: Moments) {
        self.spread = Some(spread);
    }
}
