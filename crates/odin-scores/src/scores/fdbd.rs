//! fDBD: distances to decision boundaries.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Fitting, MEAN, Restoring, Score};
use crate::error::Error;
use crate::head::Head;
use crate::matrix::Matrix;
use crate::numeric::{argmax, difference, norm, squared_distance};
use crate::observation::Observation;
use crate::tensor::Writer;

/// Up to so many classes, the distances between all pairs of weight vectors are kept.
const CLASSES_KEPT: usize = 2048;
/// Features nearer than this to the mean count as so far, as in other implementations.
const LEAST_DISTANCE: f64 = 1e-8;

/// Distances to decision boundaries.
#[derive(Debug)]
pub(super) struct Fdbd {
    head: Head,
    mean: Arc<Vec<f64>>,
    /// `‖w_i - w_j‖`, for not too many classes.
    weight_distances: Option<Matrix>,
}

impl Fdbd {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self::new(fitting.head()?.clone(), fitting.mean()?))
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        Ok(Self::new(source.head()?.clone(), Arc::new(source.mean()?)))
    }

    fn new(head: Head, mean: Arc<Vec<f64>>) -> Self {
        let classes = head.classes();
        let weight_distances = (classes <= CLASSES_KEPT).then(|| {
            let rows = (0..classes).flat_map(|class| weight_distances(&head, class));
            Matrix::new(classes, rows.collect())
        });
        Self {
            head,
            mean,
            weight_distances,
        }
    }

    fn weight_distances(&self, class: usize) -> Cow<'_, [f32]> {
        match &self.weight_distances {
            Some(all) => Cow::Borrowed(all.row(class)),
            None => Cow::Owned(weight_distances(&self.head, class)),
        }
    }
}

fn weight_distances(head: &Head, class: usize) -> Vec<f32> {
    let weight = head.weight();
    weight
        .iter_rows()
        .map(|row| squared_distance(row, weight.row(class)).sqrt() as f32)
        .collect()
}

impl Score for Fdbd {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let logits = observation.logits;
        let predicted = argmax(logits);
        let largest = f64::from(logits[predicted]);
        let weight_distances = self.weight_distances(predicted);
        let (mut sum, mut boundaries) = (0.0, 0.0);
        for (&logit, &weight_distance) in logits.iter().zip(weight_distances.iter()) {
            if weight_distance > 0.0 {
                sum += (largest - f64::from(logit)) / f64::from(weight_distance);
                boundaries += 1.0;
            }
        }
        let to_mean = norm(&difference(observation.features, &self.mean));
        sum / f64::max(boundaries, 1.0) / to_mean.max(LEAST_DISTANCE)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.head.classes())
    }

    fn features(&self) -> Option<usize> {
        Some(self.head.features())
    }

    fn save(&self, writer: &mut Writer) {
        writer.vector(MEAN, &self.mean);
    }
}
