//! WeiPer+KLD: how the features and the logits of perturbed last layers are distributed.

use super::logits::doubles;
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::head::Head;
use crate::matrix::Matrix;
use crate::method::Method;
use crate::numeric::dot_mixed;
use crate::observation::Observation;
use crate::tensor::{Reader, Writer};

const WEIGHT: &str = "weiper-kld.weight";
const LAMBDAS: &str = "weiper-kld.lambdas";
/// The authors' number of bins.
const BINS: usize = 100;

/// What a histogram is of: its tensors, and the authors' smoothing, over so many bins and with so much
/// added to each.
#[derive(Debug, Clone, Copy)]
struct Kind {
    range: &'static str,
    density: &'static str,
    smoothing: &'static str,
    bins: usize,
    floor: f64,
}

const OF_FEATURES: Kind = Kind {
    range: "weiper-kld.feature_range",
    density: "weiper-kld.feature_density",
    smoothing: "weiper-kld.feature_smoothing",
    bins: 4,
    floor: 0.01,
};
const OF_LOGITS: Kind = Kind {
    range: "weiper-kld.logit_range",
    density: "weiper-kld.logit_density",
    smoothing: "weiper-kld.logit_smoothing",
    bins: 15,
    floor: 0.025,
};

/// The score of WeiPer+KLD.
#[derive(Debug)]
pub(super) struct WeiperKld {
    /// The weights of the last layer with each perturbation, below each other.
    weight: Matrix,
    bias: Vec<f32>,
    features: Histogram,
    logits: Histogram,
    /// Of the divergence of the logits, and of the mean largest probability.
    lambdas: [f64; 2],
}

impl WeiperKld {
    pub(super) fn fit(fitting: &Fitting<'_>) -> Result<Self, Error> {
        let (head, parameters) = (fitting.head()?, fitting.parameters);
        let rows = fitting.summary()?.rows(Method::WeiperKld, parameters)?;
        let images: Vec<&[f32]> = rows.iter().map(|row| &row[1..]).collect();
        let mut random = Random(parameters.weiper_seed);
        let repeats = 0..parameters.weiper_repeats;
        let rows = repeats.flat_map(|_| perturbed(head, parameters.weiper_distance, &mut random));
        let weight = Matrix::new(head.features(), rows.collect());
        let features = images.iter().map(|features| doubles(features).collect());
        let logits = images
            .iter()
            .map(|features| projected(&weight, head.bias(), features));
        Ok(Self {
            features: Histogram::fit(OF_FEATURES, features),
            logits: Histogram::fit(OF_LOGITS, logits),
            bias: head.bias().to_vec(),
            lambdas: [parameters.weiper_lambda1, parameters.weiper_lambda2],
            weight,
        })
    }

    pub(super) fn restore(source: &Restoring<'_>) -> Result<Self, Error> {
        let (head, reader) = (source.head()?, &source.reader);
        let weight = reader.matrix(WEIGHT)?;
        let (classes, features) = (head.classes(), head.features());
        if weight.columns() != features || !weight.rows().is_multiple_of(classes) {
            let expected = format!("a multiple of {classes} rows of {features} values");
            return Err(reader.wrong(WEIGHT, &expected));
        }
        let lambdas = reader.vector(LAMBDAS, 2)?;
        Ok(Self {
            weight,
            bias: head.bias().to_vec(),
            features: Histogram::restore(OF_FEATURES, reader)?,
            logits: Histogram::restore(OF_LOGITS, reader)?,
            lambdas: [lambdas[0], lambdas[1]],
        })
    }
}

/// The weight of the last layer with `δ ‖w_c‖ g / ‖g‖` added to each row, for g of normal numbers.
fn perturbed(head: &Head, distance: f64, random: &mut Random) -> Vec<f32> {
    let length = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let of_row = |row: &[f32]| -> Vec<f32> {
        let row: Vec<f64> = doubles(row).collect();
        let noise: Vec<f64> = row.iter().map(|_| random.normal()).collect();
        let factor = distance * length(&row) / length(&noise).max(f64::MIN_POSITIVE);
        let sums = row.iter().zip(noise).map(|(w, g)| w + factor * g);
        sums.map(|w| w as f32).collect()
    };
    head.weight().iter_rows().flat_map(of_row).collect()
}

/// In f64: which bin a logit is in must not depend on the order of sums.
fn projected(weight: &Matrix, bias: &[f32], features: &[f32]) -> Vec<f64> {
    let features: Vec<f64> = doubles(features).collect();
    let rows = weight.iter_rows().zip(doubles(bias).cycle());
    rows.map(|(row, bias)| dot_mixed(row, &features) + bias)
        .collect()
}

/// The mean density of the training images in equal bins between the least and the largest of all
/// their values.
#[derive(Debug)]
struct Histogram {
    kind: Kind,
    range: [f64; 2],
    density: Vec<f64>,
}

impl Histogram {
    fn fit(kind: Kind, images: impl Iterator<Item = Vec<f64>> + Clone) -> Self {
        let mut range = [f64::INFINITY, f64::NEG_INFINITY];
        for value in images.clone().flatten() {
            range = [range[0].min(value), range[1].max(value)];
        }
        let (mut density, mut count) = (vec![0.0; BINS], 0.0);
        for image in images {
            let of_image = densities(&image, range);
            density
                .iter_mut()
                .zip(of_image)
                .for_each(|(sum, d)| *sum += d);
            count += 1.0;
        }
        density.iter_mut().for_each(|sum| *sum /= count);
        Self {
            kind,
            range,
            density,
        }
    }

    fn restore(kind: Kind, reader: &Reader<'_>) -> Result<Self, Error> {
        let range = reader.vector(kind.range, 2)?;
        let density = reader.vector(kind.density, BINS)?;
        let smoothing = reader.vector(kind.smoothing, 2)?;
        if range[0] > range[1] {
            return Err(reader.wrong(kind.range, "the least and the largest value"));
        }
        if density.iter().any(|d| !(0.0..=1.0).contains(d)) {
            return Err(reader.wrong(kind.density, "shares from 0 to 1"));
        }
        if smoothing != [kind.bins as f64, kind.floor] {
            let expected = format!("{} bins and {}", kind.bins, kind.floor);
            return Err(reader.wrong(kind.smoothing, &expected));
        }
        Ok(Self {
            kind,
            range: [range[0], range[1]],
            density: density.to_vec(),
        })
    }

    fn save(&self, writer: &mut Writer) {
        let Kind { bins, floor, .. } = self.kind;
        writer.vector(self.kind.range, &self.range);
        writer.vector(self.kind.density, &self.density);
        writer.vector(self.kind.smoothing, &[bins as f64, floor]);
    }

    /// `KL(p ‖ q) + KL(q ‖ p)` of the training images' density p and the smoothed one of these values.
    fn divergence(&self, values: &[f64]) -> f64 {
        let Kind { bins, floor, .. } = self.kind;
        let p = raised(&self.density, floor);
        let q = raised(&smoothed(&densities(values, self.range), bins), floor);
        let terms = p.iter().zip(&q).map(|(p, q)| (p - q) * (p.ln() - q.ln()));
        terms.sum()
    }
}

/// Which share of the values is in each bin; none of those outside of the range.
fn densities(values: &[f64], [low, high]: [f64; 2]) -> Vec<f64> {
    let mut counts = vec![0.0; BINS];
    for value in values.iter().filter(|value| (low..=high).contains(*value)) {
        // A range of one value has all in the first bin: NaN becomes 0.
        let bin = (value - low) / (high - low) * BINS as f64;
        counts[(bin as usize).min(BINS - 1)] += 1.0;
    }
    counts.iter().map(|n| n / values.len() as f64).collect()
}

/// Means over so many neighbours, where the first and the last continue outside; of an even number,
/// one more comes behind than before.
fn smoothed(density: &[f64], bins: usize) -> Vec<f64> {
    let before = (bins - 1) / 2;
    let mean = |bin: usize| {
        let of_window = |i: usize| density[(bin + i).saturating_sub(before).min(BINS - 1)];
        (0..bins).map(of_window).sum::<f64>() / bins as f64
    };
    (0..BINS).map(mean).collect()
}

/// With `floor` added to each, divided by their sum.
fn raised(density: &[f64], floor: f64) -> Vec<f64> {
    let sum: f64 = density.iter().map(|d| d + floor).sum();
    density.iter().map(|d| (d + floor) / sum).collect()
}

fn largest_probability(logits: &[f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits
        .iter()
        .map(|z| (z - largest).exp())
        .sum::<f64>()
        .recip()
}

impl Score for WeiperKld {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let features: Vec<f64> = doubles(observation.features).collect();
        let logits = projected(&self.weight, &self.bias, observation.features);
        let layers = logits.chunks_exact(self.bias.len());
        let repeats = layers.len() as f64;
        let largest: f64 = layers.map(largest_probability).sum();
        let [of_logits, of_largest] = self.lambdas;
        of_largest * largest / repeats
            - self.features.divergence(&features)
            - of_logits * self.logits.divergence(&logits)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.weight.columns())
    }

    fn save(&self, writer: &mut Writer) {
        writer.matrix(WEIGHT, &self.weight);
        writer.vector(LAMBDAS, &self.lambdas);
        self.features.save(writer);
        self.logits.save(writer);
    }
}

/// SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, *Fast Splittable Pseudorandom Number Generators*,
/// OOPSLA 2014), and normal numbers by Box's and Muller's method.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Above 0 and at most 1.
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
