//! Scores of the logits alone, without fitted statistics.

use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::numeric::{log_sum_exp, max, softmax};
use crate::observation::Observation;
use crate::parameters::Parameters;
use crate::tensor::Writer;

/// A function of the logits.
#[derive(Debug)]
pub(super) struct OfLogits(fn(&[f32]) -> f64);

pub(super) const MSP: OfLogits = OfLogits(|logits| msp(logits, 1.0));
pub(super) const MAX_LOGIT: OfLogits = OfLogits(max);
pub(super) const MAX_MINUS_MEAN: OfLogits = OfLogits(|logits| max(logits) - mean(logits));
pub(super) const ENERGY: OfLogits = OfLogits(energy);
pub(super) const JOINT_ENERGY: OfLogits = OfLogits(joint_energy);
pub(super) const ENTROPY: OfLogits = OfLogits(negative_entropy);

impl Score for OfLogits {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        self.0(observation.logits)
    }
}

/// `max softmax(z / T)`, as the reciprocal of a sum whose largest term is 1.
pub(super) fn msp(logits: &[f32], temperature: f64) -> f64 {
    let max = max(logits);
    let sum: f64 = doubles(logits)
        .map(|z| ((z - max) / temperature).exp())
        .sum();
    sum.recip()
}

pub(super) fn energy(logits: &[f32]) -> f64 {
    log_sum_exp(doubles(logits))
}

/// `Σ log(1 + exp z)`; the exponential cannot overflow.
fn joint_energy(logits: &[f32]) -> f64 {
    doubles(logits)
        .map(|z| z.max(0.0) + (-z.abs()).exp().ln_1p())
        .sum()
}

fn mean(logits: &[f32]) -> f64 {
    doubles(logits).sum::<f64>() / logits.len() as f64
}

/// `Σ p log p` with `log p = z - log Σ exp z`.
fn negative_entropy(logits: &[f32]) -> f64 {
    let energy = energy(logits);
    doubles(logits)
        .map(|z| (z - energy).exp() * (z - energy))
        .sum()
}

pub(super) fn doubles(values: &[f32]) -> impl Iterator<Item = f64> + Clone {
    values.iter().map(|&value| f64::from(value))
}

/// Generalised entropy.
#[derive(Debug)]
pub(super) struct Gen {
    gamma: f64,
    top: usize,
}

impl Gen {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Self {
        Self {
            gamma: fitting.parameters.gen_gamma,
            top: fitting.parameters.gen_top,
        }
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let parameters = Parameters {
            gen_gamma: source.reader.number("gen.gamma")?,
            gen_top: source.reader.count("gen.top")?,
            ..Parameters::default()
        };
        parameters.check()?;
        Ok(Self {
            gamma: parameters.gen_gamma,
            top: parameters.gen_top,
        })
    }
}

impl Score for Gen {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let mut p = softmax(observation.logits, 1.0);
        p.sort_unstable_by(|a, b| b.total_cmp(a));
        // 1 - p of the largest p as the sum of the others, which does not cancel.
        let others: f64 = p.iter().skip(1).rev().sum();
        let first = p[0] * others;
        let rest = p.iter().skip(1).take(self.top - 1).map(|p| p * (1.0 - p));
        -std::iter::once(first)
            .chain(rest)
            .map(|term| term.powf(self.gamma))
            .sum::<f64>()
    }

    fn save(&self, writer: &mut Writer) {
        writer.number("gen.gamma", self.gamma);
        writer.number("gen.top", self.top as f64);
    }
}
