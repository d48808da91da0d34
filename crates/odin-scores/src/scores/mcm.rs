//! MCM: the softmax of cosines between the features and the rows of the last layer.

use super::logits::{doubles, msp};
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::head::Head;
use crate::numeric::norm;
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::tensor::Writer;

const TEMPERATURE: &str = "mcm.temperature";

/// The largest softmax of cosines.
#[derive(Debug)]
pub(super) struct Mcm {
    head: Head,
    /// `‖w_c‖`, one for each class.
    lengths: Vec<f64>,
    temperature: f64,
}

impl Mcm {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let temperature = fitting.parameters.mcm_temperature;
        Ok(Self::new(fitting.head()?.clone(), temperature))
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            mcm_temperature: source.reader.number(TEMPERATURE)?,
            ..Parameters::default()
        };
        parameters.check()?;
        let temperature = parameters.mcm_temperature;
        Ok(Self::new(source.head()?.clone(), temperature))
    }

    fn new(head: Head, temperature: f64) -> Self {
        Self {
            lengths: head.weight().iter_rows().map(norm).collect(),
            temperature,
            head,
        }
    }
}

impl Score for Mcm {
    /// `w_c · h = z_c - b_c`, so that the logits need not be computed again.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let length = norm(observation.features);
        let products = doubles(observation.logits).zip(doubles(self.head.bias()));
        let cosines = products.zip(&self.lengths).map(|((z, b), own)| {
            let lengths = own * length;
            // A vector without a length points nowhere.
            if lengths > 0.0 {
                (z - b) / lengths
            } else {
                0.0
            }
        });
        let cosines: Vec<f32> = cosines.map(|cosine| cosine as f32).collect();
        msp(&cosines, self.temperature)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.head.classes())
    }

    fn features(&self) -> Option<usize> {
        Some(self.head.features())
    }

    fn save(&self, writer: &mut Writer) {
        writer.number(TEMPERATURE, self.temperature);
    }
}
