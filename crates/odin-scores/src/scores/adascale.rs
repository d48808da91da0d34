//! AdaSCALE: SCALE and LTS at a percentile that depends on how far the image's activations shift.

use super::logits::doubles;
use super::shaping::{kept_features, sharpening};
use super::{Fitting, Restoring, Score};
use crate::activation_shift::ActivationShift;
use crate::error::Error;
use crate::numeric::{largest, log_sum_exp};
use crate::observation::{Observation, Shift};
use crate::parameters::Parameters;
use crate::tensor::Writer;

const SHIFT: &str = "adascale.shift";
const PERCENTILES: &str = "adascale.percentiles";
const SHIFTS: &str = "adascale.shifts";

/// What is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaled {
    Activations,
    Logits,
}

/// Activations or logits, scaled by a factor that is fitted to the image.
#[derive(Debug)]
pub(super) struct AdaScale {
    scaled: Scaled,
    bias: Vec<f32>,
    features: usize,
    shift: ActivationShift,
    /// `p_min` and `p_max`.
    percentiles: [f64; 2],
    /// Q' of the training images, rising.
    shifts: Vec<f64>,
}

impl AdaScale {
    pub(super) fn fit(fitting: &Fitting<'_>, scaled: Scaled) -> Result<Self, Error> {
        let (head, summary) = (fitting.head()?, fitting.summary()?);
        let shift = ActivationShift::new(fitting.parameters);
        shift.check_same(summary.activation_shift())?;
        let parameters = fitting.parameters;
        Ok(Self {
            scaled,
            bias: head.bias().to_vec(),
            features: head.features(),
            shift,
            percentiles: [parameters.adascale_pmin, parameters.adascale_pmax],
            shifts: summary.shifts(),
        })
    }

    pub(super) fn restore(source: &Restoring<'_>, scaled: Scaled) -> Result<Self, Error> {
        let (head, reader) = (source.head()?, &source.reader);
        let numbers = reader.array(SHIFT)?;
        let shift = ActivationShift::from_numbers(numbers)
            .map_err(|_| reader.wrong(SHIFT, "o, epsilon, k1, k2 and lambda in their ranges"))?;
        let [adascale_pmin, adascale_pmax] = reader.array(PERCENTILES)?;
        let parameters = Parameters {
            adascale_pmin,
            adascale_pmax,
            ..Parameters::default()
        };
        parameters
            .check()
            .map_err(|_| reader.wrong(PERCENTILES, "pmin and pmax in their ranges"))?;
        let shifts = reader.values(SHIFTS)?;
        if !shifts.is_sorted() {
            return Err(reader.wrong(SHIFTS, "rising values"));
        }
        Ok(Self {
            scaled,
            bias: head.bias().to_vec(),
            features: head.features(),
            shift,
            percentiles: [adascale_pmin, adascale_pmax],
            shifts: shifts.to_vec(),
        })
    }

    /// `p = p_min + (1 - F(Q')) (p_max - p_min)`, F being the share of training images whose Q' is
    /// at most that of this image.
    fn percentile(&self, observation: &Observation<'_>) -> f64 {
        let shift = (self.shift).of(observation.features, observation.shifted_features);
        let below = self.shifts.partition_point(|&other| other <= shift);
        let share = below as f64 / self.shifts.len() as f64;
        let [low, high] = self.percentiles;
        low + (1.0 - share) * (high - low)
    }
}

impl Score for AdaScale {
    /// The energy of `W (exp(r) h) + b = exp(r) (z - b) + b`, or of `r² z`.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features: Vec<f32> = observation.features.iter().map(|h| h.max(0.0)).collect();
        let largest = largest(
            &features,
            kept_features(features.len(), self.percentile(observation)),
        );
        let all: f64 = doubles(&features).sum();
        let rest: f64 = largest.iter().map(|&i| f64::from(features[i])).sum();
        let logits = doubles(observation.logits);
        match self.scaled {
            Scaled::Activations => {
                let factor = sharpening(all, rest);
                let logits = logits.zip(doubles(&self.bias));
                log_sum_exp(logits.map(|(z, b)| factor * (z - b) + b))
            }
            Scaled::Logits => {
                let ratio = if rest == 0.0 { 1.0 } else { all / rest };
                log_sum_exp(logits.map(|z| ratio * ratio * z))
            }
        }
    }

    fn classes(&self) -> Option<usize> {
        Some(self.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.features)
    }

    fn shift(&self) -> Option<Shift> {
        Some(self.shift.shift)
    }

    fn save(&self, writer: &mut Writer) {
        writer.vector(SHIFT, &self.shift.numbers());
        writer.vector(PERCENTILES, &self.percentiles);
        writer.vector(SHIFTS, &self.shifts);
    }
}
