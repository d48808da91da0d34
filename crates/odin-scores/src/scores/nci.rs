//! NCI: alignment of centred features with the weights of the predicted class.

use std::sync::Arc;

use super::{Fitting, MEAN, Restoring, Score};
use crate::error::Error;
use crate::head::Head;
use crate::numeric::{argmax, difference, dot, norm, norm_l1};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::tensor::Writer;

/// How well centred features align with the weights of the predicted class.
#[derive(Debug)]
pub(super) struct Nci {
    head: Head,
    mean: Arc<Vec<f64>>,
    alpha: f64,
}

impl Nci {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        Ok(Self {
            head: fitting.head()?.clone(),
            mean: fitting.mean()?,
            alpha: fitting.parameters.nci_alpha,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            nci_alpha: source.reader.number("nci.alpha")?,
            ..Parameters::default()
        };
        parameters.check()?;
        Ok(Self {
            head: source.head()?.clone(),
            mean: Arc::new(source.mean()?),
            alpha: parameters.nci_alpha,
        })
    }
}

impl Score for Nci {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features = observation.features;
        let weight = self.head.weight().row(argmax(observation.logits));
        let centred = difference(features, &self.mean);
        // Features at the very mean point nowhere.
        let proximity = dot(weight, &centred) / norm(&centred).max(f64::MIN_POSITIVE);
        proximity + self.alpha * norm_l1(features)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.head.classes())
    }

    fn features(&self) -> Option<usize> {
        Some(self.head.features())
    }

    fn save(&self, writer: &mut Writer) {
        writer.vector(MEAN, &self.mean);
        writer.number("nci.alpha", self.alpha);
    }
}
