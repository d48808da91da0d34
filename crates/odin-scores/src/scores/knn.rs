//! KNN: the distance to the k-th nearest training image.

use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::matrix::Matrix;
use crate::method::Method;
use crate::numeric::{norm, squared_distances};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::summary::TrainingSummary;
use crate::tensor::Writer;

const BANK: &str = "knn.bank";
const K: &str = "knn.k";
/// Shorter features are divided by this, as in other implementations.
const LEAST_NORM: f64 = 1e-12;

/// The normalised features of training images, in the order of their contents or, where not all are
/// kept, of their hashes.
#[derive(Debug)]
pub(super) struct Knn {
    bank: Matrix,
    /// From 1 to the number of images.
    k: usize,
}

impl Knn {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let summary = fitting.summary()?;
        let parameters = fitting.parameters;
        let rows = summary.rows(Method::Knn, parameters)?;
        let mut bank = Vec::with_capacity(rows.len() * summary.features());
        for row in &rows {
            bank.extend(normalised(&row[1..]));
        }
        Ok(Self {
            bank: Matrix::new(summary.features(), bank),
            k: neighbours(parameters, summary).min(rows.len()),
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
const MOST: f64 = 50.0;

/// k as it is set, or else 50 but at most a tenth of the images that are kept of the smallest class that
/// has any, and at least 1. The k-th neighbour of an image of a class of m is of that class for k well below m,
/// and the score then cannot rank upside down; 5,000 images of a class, as in CIFAR-10, give 50.
pub(crate) fn neighbours(parameters: &Parameters, summary: &TrainingSummary) -> usize {
    let classes = summary.class_images().iter();
    let fewest = classes.copied().filter(|&images| images > 0).min();
    let kept = kept_share(parameters, summary.images()) * fewest.unwrap_or(0) as f64;
    let default = (kept / 10.0).clamp(1.0, MOST) as usize;
    parameters.knn_k.unwrap_or(default)
}

/// Which share of so many images KNN keeps.
pub(crate) fn kept_share(parameters: &Parameters, images: u64) -> f64 {
    let most = parameters.knn_images as f64 / images.max(1) as f64;
    parameters.knn_share.min(most)
}

fn normalised(features: &[f32]) -> Vec<f32> {
    let norm = norm(features).max(LEAST_NORM);
    features
        .iter()
        .map(|&h| (f64::from(h) / norm) as f32)
        .collect()
}

/// Images that are compared with the bank in one pass over it.
const IMAGES: usize = 32;
/// Numbers of the bank to aim at that are compared with all of them while they are in a second-level
/// cache: 256 KiB.
const BANK_BLOCK: usize = 1 << 16;

impl Knn {
    /// The scores of a few images. Each has the `k` smallest distances of the rows before; those of a
    /// block join them, and the largest are left out again.
    fn score_few(&self, observations: &[&Observation<'_>]) -> Vec<f64> {
        let width = self.bank.columns();
        let images = observations.iter();
        let images: Vec<Vec<f32>> = images.map(|o| normalised(o.features)).collect();
        let rows_of_block = (BANK_BLOCK / width.max(1)).max(1);
        let mut nearest = vec![Vec::with_capacity(self.k + rows_of_block); images.len()];
        for block in self.bank.row_blocks(rows_of_block) {
            for (image, nearest) in images.iter().zip(&mut nearest) {
                squared_distances(image, block, nearest);
                if nearest.len() > self.k {
                    nearest.select_nth_unstable_by(self.k - 1, f64::total_cmp);
                    nearest.truncate(self.k);
                }
            }
        }
        let farthest = |nearest: Vec<f64>| nearest.into_iter().max_by(f64::total_cmp);
        let score = |nearest| -farthest(nearest).map_or(f64::NAN, f64::sqrt);
        nearest.into_iter().map(score).collect()
    }
}

impl Score for Knn {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        self.score_few(&[observation])[0]
    }

    fn score_batch(&self, observations: &[&Observation<'_>]) -> Vec<f64> {
        let few = observations.chunks(IMAGES);
        few.flat_map(|few| self.score_few(few)).collect()
    }

    fn features(&self) -> Option<usize> {
        Some(self.bank.columns())
    }

    fn save(&self, writer: &mut Writer) {
        writer.matrix(BANK, &self.bank);
        writer.number(K, self.k as f64);
    }
}
