//! KNN: the distance to the k-th nearest training image.

use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::matrix::Matrix;
use crate::numeric::{norm, squared_distance};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::summary::TrainingSummary;
use crate::tensor::Writer;

const BANK: &str = "knn.bank";
const K: &str = "knn.k";
/// Shorter features are divided by this, as in other implementations.
const LEAST_NORM: f64 = 1e-12;

/// The normalised features of all training images, in the order of their contents.
#[derive(Debug)]
pub(super) struct Knn {
    bank: Matrix,
    /// From 1 to the number of images.
    k: usize,
}

impl Knn {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let summary = fitting.summary()?;
        let rows = summary.rows().ordered();
        let bank = rows.iter().flat_map(|row| normalised(&row[1..])).collect();
        Ok(Self {
            bank: Matrix::new(summary.features(), bank),
            k: neighbours(fitting.parameters, summary).min(rows.len()),
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let bank = source.reader.matrix(BANK)?;
        let k = source.reader.count(K)?;
        if !(1..=bank.rows()).contains(&k) {
            let expected = format!("a number from 1 to {}, the images of {BANK}", bank.rows());
            return Err(source.reader.wrong(K, &expected));
        }
        Ok(Self { bank, k })
    }
}

/// The authors' k for CIFAR-10.
const MOST: u64 = 50;

/// k as it is set, or else 50 but at most a tenth of the images of the smallest class that has any, and
/// at least 1. The k-th neighbour of an image of a class of m is of that class for k well below m,
/// and the score then cannot rank upside down; 5,000 images of a class, as in CIFAR-10, give 50.
pub(crate) fn neighbours(parameters: &Parameters, summary: &TrainingSummary) -> usize {
    let classes = summary.class_images().iter();
    let fewest = classes.copied().filter(|&images| images > 0).min();
    let default = (fewest.unwrap_or(0) / 10).clamp(1, MOST) as usize;
    parameters.knn_k.unwrap_or(default)
}

fn normalised(features: &[f32]) -> Vec<f32> {
    let norm = norm(features).max(LEAST_NORM);
    features
        .iter()
        .map(|&h| (f64::from(h) / norm) as f32)
        .collect()
}

impl Score for Knn {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features = normalised(observation.features);
        let mut squares: Vec<f64> = self
            .bank
            .iter_rows()
            .map(|image| squared_distance(&features, image))
            .collect();
        let (_, square, _) = squares.select_nth_unstable_by(self.k - 1, f64::total_cmp);
        -square.sqrt()
    }

    fn features(&self) -> Option<usize> {
        Some(self.bank.columns())
    }

    fn save(&self, writer: &mut Writer) {
        writer.matrix(BANK, &self.bank);
        writer.number(K, self.k as f64);
    }
}
