//! NNGuide: the energy, guided by the nearest training images.

use super::logits::{doubles, energy};
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::head::Head;
use crate::matrix::Matrix;
use crate::method::Method;
use crate::numeric::{dot, log_sum_exp, unit};
use crate::observation::Observation;
use crate::tensor::Writer;

const BANK: &str = "nn-guide.bank";
const K: &str = "nn-guide.k";

/// The normalised features of training images, each times its energy, in the order of their
/// contents.
#[derive(Debug)]
pub(super) struct NnGuide {
    bank: Matrix,
    /// From 1 to the number of images in the bank.
    k: usize,
}

impl NnGuide {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let (head, summary) = (fitting.head()?, fitting.summary()?);
        let parameters = fitting.parameters;
        let rows = summary.rows(Method::NnGuide, parameters)?;
        let mut bank = Vec::with_capacity(rows.len() * summary.features());
        for row in &rows {
            let energy = energy_of(head, &row[1..]);
            let unit = unit(&row[1..]).into_iter();
            bank.extend(unit.map(|h| (energy * h) as f32));
        }
        Ok(Self {
            bank: Matrix::new(summary.features(), bank),
            k: parameters.nn_guide_k.min(rows.len()),
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let bank = source.reader.matrix(BANK)?;
        let k = source.reader.count(K)?;
        if !(1..=bank.rows()).contains(&k) {
            let expected = format!("a number from 1 to {}, the images of {BANK}", bank.rows());
            return Err(source.reader.wrong(K, &expected));
        }
        Ok(Self { bank, k })
    }
}

fn energy_of(head: &Head, features: &[f32]) -> f64 {
    let rows = head.weight().iter_rows().zip(doubles(head.bias()));
    let logits: Vec<f64> = rows.map(|(row, bias)| dot(row, features) + bias).collect();
    log_sum_exp(logits.iter().copied())
}

impl Score for NnGuide {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features: Vec<f32> = unit(observation.features)
            .into_iter()
            .map(|h| h as f32)
            .collect();
        let rows = self.bank.iter_rows();
        let mut products: Vec<f64> = rows.map(|image| dot(&features, image)).collect();
        products.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
        let guidance = products[..self.k].iter().sum::<f64>() / self.k as f64;
        guidance * energy(observation.logits)
    }

    fn features(&self) -> Option<usize> {
        Some(self.bank.columns())
    }

    fn save(&self, writer: &mut Writer) {
        writer.matrix(BANK, &self.bank);
        writer.number(K, self.k as f64);
    }
}
