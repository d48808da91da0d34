//! SHE: the inner product with the pattern of the predicted class.

use super::{Fitting, Restoring, Score};
use crate::error::{Error, ErrorKind};
use crate::matrix::Matrix;
use crate::numeric::{argmax, dot};
use crate::observation::Observation;
use crate::tensor::Writer;

const PATTERNS: &str = "she.patterns";

/// The mean features of the correctly classified training images of each class; zeros for a class
/// without such an image.
#[derive(Debug)]
pub(super) struct She {
    patterns: Matrix,
}

impl She {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let summary = fitting.summary()?;
        let (features, patterns) = (summary.features(), summary.patterns());
        if patterns.images().iter().all(|&images| images == 0) {
            return Err(Error::new(
                ErrorKind::Degenerate,
                "no training image is classified correctly: are the labels those of the network?",
            ));
        }
        let mut means = Vec::with_capacity(features * summary.classes());
        for (sum, &images) in patterns.sums().iter().zip(patterns.images()) {
            let length = means.len() + features;
            means.extend(sum.iter().map(|s| (s / images as f64) as f32));
            means.resize(length, 0.0);
        }
        Ok(Self {
            patterns: Matrix::new(features, means),
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        Ok(Self {
            patterns: source.reader.matrix(PATTERNS)?,
        })
    }
}

impl Score for She {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let pattern = self.patterns.row(argmax(observation.logits));
        dot(pattern, observation.features)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.patterns.rows())
    }

    fn features(&self) -> Option<usize> {
        Some(self.patterns.columns())
    }

    fn save(&self, writer: &mut Writer) {
        writer.matrix(PATTERNS, &self.patterns);
    }
}
