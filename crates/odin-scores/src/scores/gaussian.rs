//! Mahalanobis distances: features are whitened once, and distances are then Euclidean.

use std::sync::Arc;

use super::{Fitting, MEAN, Restoring, Score};
use crate::error::{Error, ErrorKind};
use crate::linalg::{Covariance, check_features, transform};
use crate::matrix::Matrix;
use crate::numeric::{difference, dot, squared_distance};
use crate::observation::Observation;
use crate::summary::{Moments, TrainingSummary};
use crate::tensor::{Reader, Writer};

const WITHIN_ROOT: &str = "within.inverse_root";
const WITHIN_MEANS: &str = "within.whitened_means";
const TOTAL_ROOT: &str = "total.inverse_root";

/// The classes as Gaussians of one covariance.
#[derive(Debug)]
pub(super) struct Within {
    /// The mean of all features, which is taken off first so that nothing large cancels later.
    centre: Vec<f64>,
    inverse_root: Matrix,
    /// One row for each class that has an image: `R (μ_k - centre)`.
    whitened_means: Matrix,
}

impl Within {
    pub(super) fn fit(summary: &TrainingSummary, centre: &[f64]) -> Result<Self, Error> {
        let moments = moments(summary)?;
        let covariance = Covariance::of_products(moments.within(), summary.images());
        let inverse_root = covariance.inverse_root()?;
        let classes = moments.sums().iter().zip(summary.class_images());
        let centred: Vec<f64> = classes
            .flat_map(|(sum, &images)| {
                let means = sum.iter().map(move |s| s / images as f64);
                means.zip(centre).map(|(m, c)| m - c)
            })
            .collect();
        Ok(Self {
            centre: centre.to_vec(),
            whitened_means: transform(&inverse_root, &centred)?,
            inverse_root,
        })
    }

    pub(super) fn restore(reader: &Reader<'_>) -> Result<Self, Error> {
        let inverse_root = read_root(reader, WITHIN_ROOT)?;
        let whitened_means = reader.matrix(WITHIN_MEANS)?;
        if whitened_means.columns() != inverse_root.rows() {
            let expected = format!("rows of {} values", inverse_root.rows());
            return Err(reader.wrong(WITHIN_MEANS, &expected));
        }
        Ok(Self {
            centre: reader.vector(MEAN, inverse_root.columns())?.to_vec(),
            inverse_root,
            whitened_means,
        })
    }

    /// Squared distance to the nearest class.
    fn squared_distance(&self, features: &[f32]) -> f64 {
        let whitened = whiten(&self.inverse_root, &difference(features, &self.centre));
        self.whitened_means
            .iter_rows()
            .map(|mean| squared_distance(&whitened, mean))
            .fold(f64::INFINITY, f64::min)
    }

    fn save(&self, writer: &mut Writer) {
        writer.vector(MEAN, &self.centre);
        writer.matrix(WITHIN_ROOT, &self.inverse_root);
        writer.matrix(WITHIN_MEANS, &self.whitened_means);
    }
}

fn moments(summary: &TrainingSummary) -> Result<&Moments, Error> {
    check_features(summary.features())?;
    summary.moments().ok_or_else(|| {
        let message = "there are no features of training images";
        Error::new(ErrorKind::Missing, message)
    })
}

/// `R g` as f32, for an R of r rows of which row i has zeros after D - r + i + 1 values.
fn whiten(root: &Matrix, centred: &[f32]) -> Vec<f32> {
    let first = root.columns() - root.rows() + 1;
    root.iter_rows()
        .zip(first..)
        .map(|(row, end)| dot(&row[..end], &centred[..end]) as f32)
        .collect()
}

fn read_root(reader: &Reader<'_>, name: &str) -> Result<Matrix, Error> {
    let root = reader.matrix(name)?;
    if root.rows() > root.columns() {
        return Err(reader.wrong(name, "at most as many rows as columns"));
    }
    Ok(root)
}

/// The Mahalanobis score.
#[derive(Debug)]
pub(super) struct Mahalanobis {
    within: Arc<Within>,
}

impl Mahalanobis {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            within: fitting.within()?,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        Ok(Self {
            within: source.within()?,
        })
    }
}

impl Score for Mahalanobis {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        -self.within.squared_distance(observation.features)
    }

    fn features(&self) -> Option<usize> {
        Some(self.within.centre.len())
    }

    fn save(&self, writer: &mut Writer) {
        self.within.save(writer);
    }
}

/// The Mahalanobis score less that of a Gaussian of all features.
#[derive(Debug)]
pub(super) struct Relative {
    within: Arc<Within>,
    /// Of the covariance of all features about their mean, which `within` has as its centre.
    total_inverse_root: Matrix,
}

impl Relative {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let within = fitting.within()?;
        let summary = fitting.summary()?;
        let products = moments(summary)?.total(summary.class_images(), &within.centre);
        let covariance = Covariance::of_products(products, summary.images());
        Ok(Self {
            total_inverse_root: covariance.inverse_root()?,
            within,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let within = source.within()?;
        let total_inverse_root = read_root(&source.reader, TOTAL_ROOT)?;
        if total_inverse_root.columns() != within.centre.len() {
            let expected = format!("rows of {} values", within.centre.len());
            return Err(source.reader.wrong(TOTAL_ROOT, &expected));
        }
        Ok(Self {
            within,
            total_inverse_root,
        })
    }
}

impl Score for Relative {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features = observation.features;
        let centred = difference(features, &self.within.centre);
        let whitened = whiten(&self.total_inverse_root, &centred);
        dot(&whitened, &whitened) - self.within.squared_distance(features)
    }

    fn features(&self) -> Option<usize> {
        Some(self.within.centre.len())
    }

    fn save(&self, writer: &mut Writer) {
        self.within.save(writer);
        writer.matrix(TOTAL_ROOT, &self.total_inverse_root);
    }
}
