//! GDA of DDU: a mixture of a Gaussian a class, each with its own covariance.

use std::f64::consts::TAU;

use super::{Fitting, Restoring, Score};
use crate::error::{Error, ErrorKind};
use crate::linalg::{Covariance, check_classes};
use crate::matrix::Matrix;
use crate::numeric::{difference, dot, log_sum_exp};
use crate::observation::Observation;
use crate::summary::TrainingSummary;
use crate::tensor::Writer;

const MEANS: &str = "gmm.means";
const ROOTS: &str = "gmm.inverse_roots";
const OFFSETS: &str = "gmm.offsets";
/// The smallest eigenvalue is above so large a share of their mean, so that 32-bit numbers can tell it.
const LEAST_SHARE: f64 = 1.0 / (1 << 24) as f64;
/// The smallest eigenvalue is bounded within a factor of D, which is 8192 at most.
const POWERS: i32 = 6;

/// The log density of the mixture.
#[derive(Debug)]
pub(super) struct Gmm {
    /// D.
    features: usize,
    /// Of each class that has an image, one after another.
    means: Vec<f64>,
    /// D rows a class: R with `RᵀR = Σ⁻¹`, lower triangular.
    roots: Matrix,
    /// Of each class, `log π - (log det Σ + D log 2π) / 2`.
    offsets: Vec<f64>,
    /// What was added to all variances; unknown of one that was restored.
    jitter: Option<f64>,
}

impl Gmm {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let summary = fitting.summary()?;
        check_classes(summary.classes(), summary.features())?;
        let gaussians = Gaussians::invertible(summary)?;
        let (features, images) = (summary.features(), summary.images() as f64);
        let (mut means, mut offsets) = (Vec::new(), Vec::new());
        let classes = summary.class_moments().iter();
        for ((class, moments), log_determinant) in classes.zip(&gaussians.log_determinants) {
            let count = summary.class_images()[class];
            means.extend(moments.mean(count));
            let logarithms = log_determinant + features as f64 * TAU.ln();
            offsets.push((count as f64 / images).ln() - 0.5 * logarithms);
        }
        Ok(Self {
            features,
            means,
            roots: Matrix::new(features, gaussians.roots),
            offsets,
            jitter: Some(gaussians.jitter),
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let reader = &source.reader;
        let (features, means) = reader.rows(MEANS)?;
        let (classes, roots) = (means.len() / features, reader.matrix(ROOTS)?);
        if roots.columns() != features || roots.rows() != means.len() {
            let expected = format!("{} rows of {features} values", means.len());
            return Err(reader.wrong(ROOTS, &expected));
        }
        let mut rows = roots
            .values()
            .chunks_exact(features)
            .zip((0..features).cycle());
        if rows.any(|(row, i)| row[i + 1..].iter().any(|&value| value != 0.0)) {
            return Err(reader.wrong(ROOTS, "lower triangular matrices"));
        }
        Ok(Self {
            features,
            means: means.to_vec(),
            roots,
            offsets: reader.vector(OFFSETS, classes)?.to_vec(),
            jitter: None,
        })
    }
}

/// The covariances of the classes that have an image, with a jitter.
struct Gaussians {
    jitter: f64,
    /// Of their inverses, one after another.
    roots: Vec<f32>,
    log_determinants: Vec<f64>,
}

impl Gaussians {
    /// With the least jitter with which all can be inverted.
    fn invertible(summary: &TrainingSummary) -> Result<Self, Error> {
        let features = summary.features() as f64;
        let largest = covariances(summary).map(|covariance| covariance.trace() / features);
        let first = (LEAST_SHARE * largest.fold(0.0, f64::max)).log10().ceil();
        if !first.is_finite() {
            return Err(Error::new(
                ErrorKind::Degenerate,
                "the training features do not vary about the means of their classes: more images \
                 are needed",
            ));
        }
        let powers = (0..POWERS).map(|power| 10f64.powi(first as i32 + power));
        let mut jitters = std::iter::once(0.0).chain(powers);
        let found = jitters.find_map(|jitter| Self::with_jitter(summary, jitter));
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::Degenerate,
                "the covariances of the classes cannot be inverted in 32-bit numbers: the training \
                 features vary by too little or too much",
            )
        })
    }

    fn with_jitter(summary: &TrainingSummary, jitter: f64) -> Option<Self> {
        let mut gaussians = Self {
            jitter,
            roots: Vec::with_capacity(
                summary.class_moments().iter().count() * summary.features().pow(2),
            ),
            log_determinants: Vec::new(),
        };
        for covariance in covariances(summary) {
            let (root, log_determinant) = covariance.jittered_root(jitter, LEAST_SHARE)?;
            gaussians.roots.extend_from_slice(root.values());
            gaussians.log_determinants.push(log_determinant);
        }
        Some(gaussians)
    }
}

fn covariances(summary: &TrainingSummary) -> impl Iterator<Item = Covariance> {
    let classes = summary.class_moments().iter();
    classes.map(|(class, moments)| {
        let others = summary.class_images()[class].saturating_sub(1).max(1);
        Covariance::of_products(moments.within(), others)
    })
}

impl Score for Gmm {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features = self.features;
        let roots = self.roots.values().chunks_exact(features * features);
        let classes = self.means.chunks_exact(features).zip(roots);
        let logarithms: Vec<f64> = classes
            .zip(&self.offsets)
            .map(|((mean, root), offset)| {
                let centred = difference(observation.features, mean);
                offset - 0.5 * squared_length(root, &centred)
            })
            .collect();
        log_sum_exp(logarithms.iter().copied())
    }

    fn features(&self) -> Option<usize> {
        Some(self.features)
    }

    fn notes(&self) -> Vec<String> {
        let jitter = self.jitter.filter(|jitter| *jitter > 0.0);
        let note = |jitter: f64| {
            format!(
                "{jitter:e} is added to all variances, without which a covariance cannot be inverted."
            )
        };
        jitter.map(note).into_iter().collect()
    }

    fn save(&self, writer: &mut Writer) {
        writer.rows(MEANS, self.features, &self.means);
        writer.matrix(ROOTS, &self.roots);
        writer.vector(OFFSETS, &self.offsets);
    }
}

/// `‖R g‖²` of a lower triangular R.
fn squared_length(root: &[f32], centred: &[f32]) -> f64 {
    let rows = root.chunks_exact(centred.len()).zip(1..);
    let square = |(row, end): (&[f32], usize)| dot(&row[..end], &centred[..end]).powi(2);
    rows.map(square).sum()
}
