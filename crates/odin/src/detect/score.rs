//! The scores of one image, by name.

use crate::names::{I_ODIN, MSP, ODIN};
use crate::{Error, ErrorKind};
use odin_graph::odin::Probabilities;
use std::sync::Arc;

/// What a detector says of one image. All scores are high for in-distribution images.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The predicted class: argmax of the logits.
    pub prediction: usize,
    /// The first is the baseline.
    names: Arc<[String]>,
    values: Vec<f64>,
}

impl Score {
    /// `values` are those of `names`, of which the first is [`MSP`].
    ///
    /// # Errors
    /// When a value is no finite number.
    pub(crate) fn new(
        prediction: usize,
        names: &Arc<[String]>,
        values: Vec<f64>,
    ) -> Result<Self, Error> {
        let named = names.iter().zip(&values);
        if let Some((name, value)) = named.into_iter().find(|(_, value)| !value.is_finite()) {
            let problem = match name.as_str() {
                MSP => "the network's logits are not finite numbers; check the weights and the normalisation".to_string(),
                ODIN | I_ODIN => "the network's logits of the perturbed image are not finite numbers; the magnitude is too large".to_string(),
                name => format!("the score {name} is {value}, which is no number to compare"),
            };
            return Err(Error::new(ErrorKind::NotFinite, problem));
        }
        Ok(Self {
            prediction,
            names: Arc::clone(names),
            values,
        })
    }

    /// The baseline: the maximum softmax probability at T = 1; of a multi-label network the largest
    /// sigmoid.
    pub fn msp(&self) -> f64 {
        self.values[0]
    }

    /// The ODIN score: the same at temperature T of the perturbed image;
    /// `None` of a detector that does [not compute it](crate::DetectorBuilder::odin).
    pub fn odin(&self) -> Option<f64> {
        self.get(ODIN)
    }

    /// The score of this name: `msp`, and what the detector computes beside it.
    pub fn get(&self, name: &str) -> Option<f64> {
        let place = self.names.iter().position(|own| own == name)?;
        self.values.get(place).copied()
    }

    /// The names of the scores, `msp` first.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The scores, in the order of [`Score::names`].
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Every score with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        let names = self.names.iter().map(String::as_str);
        names.zip(self.values.iter().copied())
    }
}

/// The largest of the probabilities at temperature T.
pub(crate) fn max_probability(
    logits: &[f32],
    temperature: f64,
    probabilities: Probabilities,
) -> f64 {
    match probabilities {
        Probabilities::Softmax => max_softmax(logits, temperature),
        Probabilities::Sigmoid => max_sigmoid(logits, temperature),
    }
}

/// `max_i sigmoid(z_i / T)`; NaN where a logit is.
fn max_sigmoid(logits: &[f32], temperature: f64) -> f64 {
    let logits = logits.iter().map(|&z| f64::from(z));
    let larger = |max: f64, z: f64| if z > max || z.is_nan() { z } else { max };
    let max = logits.fold(f64::NEG_INFINITY, larger);
    1.0 / (1.0 + (-max / temperature).exp())
}

/// `max_i softmax(z / T)_i`, in f64: at T = 1000 the scores of a set span a thousandth, which
/// f32 cannot tell apart.
fn max_softmax(logits: &[f32], temperature: f64) -> f64 {
    let scaled = || logits.iter().map(|&z| f64::from(z) / temperature);
    let max = scaled().fold(f64::NEG_INFINITY, f64::max);
    1.0 / scaled().map(|z| (z - max).exp()).sum::<f64>()
}

/// The class of the largest logit, the first of several.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    let logits = logits.iter().enumerate();
    let larger =
        |best: (usize, f32), (i, &z): (usize, &f32)| if z > best.1 { (i, z) } else { best };
    logits.fold((0, f32::NEG_INFINITY), larger).0
}
