//! Mahalanobis distances: features are whitened once, and distances are then Euclidean.

use std::sync::Arc;

use super::{Fitting, MEAN, Restoring, Score};
use crate::error::{Error, ErrorKind};
use crate::linalg::{Covariance, check_features, transform};
use crate::matrix::Matrix;
use crate::numeric::{difference, dot, squared_distance, unit};
use crate::observation::Observation;
use crate::summary::{Moments, TrainingSummary};
use crate::tensor::{Reader, Writer};

/// What the Gaussians are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// The features.
    Plain,
    /// The features divided by their norm.
    Unit,
}

/// The tensors of a space.
struct Names {
    mean: &'static str,
    within_root: &'static str,
    within_means: &'static str,
    total_root: &'static str,
}

impl Space {
    const fn names(self) -> Names {
        match self {
            Self::Plain => Names {
                mean: MEAN,
                within_root: "within.inverse_root",
                within_means: "within.whitened_means",
                total_root: "total.inverse_root",
            },
            Self::Unit => Names {
                mean: "unit.mean",
                within_root: "unit.within.inverse_root",
                within_means: "unit.within.whitened_means",
                total_root: "unit.total.inverse_root",
            },
        }
    }

    fn centred(self, features: &[f32], centre: &[f64]) -> Vec<f32> {
        match self {
            Self::Plain => difference(features, centre),
            Self::Unit => difference(&unit(features), centre),
        }
    }

    pub(super) fn moments(self, summary: &TrainingSummary) -> Result<&Moments, Error> {
        check_features(summary.features())?;
        let moments = match self {
            Self::Plain => summary.moments(),
            Self::Unit => summary.unit_moments(),
        };
        moments.ok_or_else(|| {
            let message = "there are no features of training images";
            Error::new(ErrorKind::Missing, message)
        })
    }
}

/// The classes as Gaussians of one covariance.
#[derive(Debug)]
pub(super) struct Within {
    space: Space,
    /// The mean of all features, which is taken off first so that nothing large cancels later.
    centre: Vec<f64>,
    inverse_root: Matrix,
    /// One row for each class that has an image: `R (μ_k - centre)`.
    whitened_means: Matrix,
}

impl Within {
    /// `centre` is the mean of what the Gaussians are of.
    pub(super) fn fit(
        space: Space,
        summary: &TrainingSummary,
        centre: &[f64],
    ) -> Result<Self, Error> {
        let moments = space.moments(summary)?;
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
            space,
            centre: centre.to_vec(),
            whitened_means: transform(&inverse_root, &centred)?,
            inverse_root,
        })
    }

    pub(super) fn restore(space: Space, reader: &Reader<'_>) -> Result<Self, Error> {
        let names = space.names();
        let inverse_root = read_root(reader, names.within_root)?;
        let whitened_means = reader.matrix(names.within_means)?;
        if whitened_means.columns() != inverse_root.rows() {
            let expected = format!("rows of {} values", inverse_root.rows());
            return Err(reader.wrong(names.within_means, &expected));
        }
        Ok(Self {
            space,
            centre: reader.vector(names.mean, inverse_root.columns())?.to_vec(),
            inverse_root,
            whitened_means,
        })
    }

    fn centred(&self, features: &[f32]) -> Vec<f32> {
        self.space.centred(features, &self.centre)
    }

    /// Squared distance to the nearest class of what was centred.
    fn squared_distance(&self, centred: &[f32]) -> f64 {
        let whitened = whiten(&self.inverse_root, centred);
        self.whitened_means
            .iter_rows()
            .map(|mean| squared_distance(&whitened, mean))
            .fold(f64::INFINITY, f64::min)
    }

    fn save(&self, writer: &mut Writer) {
        let names = self.space.names();
        writer.vector(names.mean, &self.centre);
        writer.matrix(names.within_root, &self.inverse_root);
        writer.matrix(names.within_means, &self.whitened_means);
    }
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
    pub(super) fn fit(space: Space, fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            within: fitting.within(space)?,
        })
    }

    pub(super) fn restore(space: Space, source: &Restoring<'_>) -> Result<Self, Error> {
        Ok(Self {
            within: source.within(space)?,
        })
    }
}

impl Score for Mahalanobis {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let centred = self.within.centred(observation.features);
        -self.within.squared_distance(&centred)
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
    pub(super) fn fit(space: Space, fitting: &Fitting<'_>) -> Result<Self, Error> {
        let within = fitting.within(space)?;
        let summary = fitting.summary()?;
        let moments = space.moments(summary)?;
        let products = moments.total(summary.class_images(), &within.centre);
        let covariance = Covariance::of_products(products, summary.images());
        Ok(Self {
            total_inverse_root: covariance.inverse_root()?,
            within,
        })
    }

    pub(super) fn restore(space: Space, source: &Restoring<'_>) -> Result<Self, Error> {
        let within = source.within(space)?;
        let name = space.names().total_root;
        let total_inverse_root = read_root(&source.reader, name)?;
        if total_inverse_root.columns() != within.centre.len() {
            let expected = format!("rows of {} values", within.centre.len());
            return Err(source.reader.wrong(name, &expected));
        }
        Ok(Self {
            within,
            total_inverse_root,
        })
    }
}

impl Score for Relative {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let centred = self.within.centred(observation.features);
        let whitened = whiten(&self.total_inverse_root, &centred);
        dot(&whitened, &whitened) - self.within.squared_distance(&centred)
    }

    fn features(&self) -> Option<usize> {
        Some(self.within.centre.len())
    }

    fn save(&self, writer: &mut Writer) {
        self.within.save(writer);
        writer.matrix(
            self.within.space.names().total_root,
            &self.total_inverse_root,
        );
    }
}
