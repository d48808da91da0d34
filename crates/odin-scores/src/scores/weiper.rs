//! WeiPer+KLD: how the features and the logits of perturbed last layers are distributed.

use nalgebra::DMatrix;

use super::logits::doubles;
use super::{Fitting, Restoring, Score};
use crate::error::Error;
use crate::head::Head;
use crate::matrix::Matrix;
use crate::method::Method;
use crate::numeric::{add, dot, dot_mixed, norm};
use crate::observation::Observation;
use crate::tensor::{Reader, Writer};

const WEIGHT: &str = "weiper-kld.weight";
const LAMBDAS: &str = "weiper-kld.lambdas";
/// Of so few features sums in f64 take no longer.
const FEW: usize = 256;
/// More bins are no histogram of a fitted score.
const MAX_BINS: usize = 1000;
/// How far a product of vectors in f32 may be off, in their lengths: sums of 256 products have 33
/// roundings of 2⁻²⁴ one behind another, and this is more.
const ROUNDING: f64 = 1.0 / (1 << 18) as f64;

/// What a histogram is of: its tensors.
#[derive(Debug, Clone, Copy)]
struct Kind {
    range: &'static str,
    density: &'static str,
    smoothing: &'static str,
}

const OF_FEATURES: Kind = Kind {
    range: "weiper-kld.feature_range",
    density: "weiper-kld.feature_density",
    smoothing: "weiper-kld.feature_smoothing",
};
const OF_LOGITS: Kind = Kind {
    range: "weiper-kld.logit_range",
    density: "weiper-kld.logit_density",
    smoothing: "weiper-kld.logit_smoothing",
};

/// Over how many bins the density of an image is smoothed, and what is added to each bin.
#[derive(Debug, Clone, Copy)]
struct Smoothing {
    width: usize,
    floor: f64,
}

/// The score of WeiPer+KLD.
#[derive(Debug)]
pub(super) struct WeiperKld {
    layers: Layers,
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
        let rows = repeats.map(|_| perturbed(head, parameters.weiper_distance, &mut random));
        let mut values =
            Vec::with_capacity(parameters.weiper_repeats * head.weight().values().len());
        rows.for_each(|rows| values.extend(rows));
        let weight = Matrix::new(head.features(), values);
        let layers = Layers::new(weight, head.bias());
        let of_features = Smoothing {
            width: parameters.weiper_feature_width,
            floor: parameters.weiper_feature_floor,
        };
        let of_logits = Smoothing {
            width: parameters.weiper_logit_width,
            floor: parameters.weiper_logit_floor,
        };
        let bins = parameters.weiper_bins;
        Ok(Self {
            features: Histogram::of_features(&images, bins, of_features),
            logits: Histogram::of_logits(&layers, &images, bins, of_logits),
            lambdas: [parameters.weiper_lambda1, parameters.weiper_lambda2],
            layers,
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
            layers: Layers::new(weight, head.bias()),
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

/// The last layers with each perturbation.
#[derive(Debug)]
struct Layers {
    /// Their weights, below each other.
    weight: Matrix,
    /// The length of each row.
    lengths: Vec<f64>,
    bias: Vec<f32>,
}

impl Layers {
    fn new(weight: Matrix, bias: &[f32]) -> Self {
        let lengths = weight.iter_rows().map(norm);
        Self {
            lengths: lengths.collect(),
            bias: bias.to_vec(),
            weight,
        }
    }

    /// The logits of one image. Which bin each is in does not depend on the order of sums: where one of
    /// f32 is so near an edge that it could, it is summed in f64.
    fn logits(&self, features: &[f32], bins: &Bins) -> Vec<f64> {
        let exact: Vec<f64> = doubles(features).collect();
        let sum_exactly = |row: &[f32], bias: f64| dot_mixed(row, &exact) + bias;
        let biases = doubles(&self.bias).cycle();
        if features.len() < FEW {
            let rows = self.weight.iter_rows().zip(biases);
            return rows.map(|(row, bias)| sum_exactly(row, bias)).collect();
        }
        let off = ROUNDING * norm(features);
        let rows = self.weight.iter_rows().zip(&self.lengths);
        rows.zip(biases)
            .map(|((row, length), bias)| {
                let logit = dot(row, features) + bias;
                let off = off * length + f64::from(f32::MIN_POSITIVE);
                let certain = logit.is_finite()
                    && bins.of(logit - off) == bins.of(logit + off)
                    && (bins.of(logit).is_some() || !bins.reaches(logit, off));
                match certain {
                    true => logit,
                    false => sum_exactly(row, bias),
                }
            })
            .collect()
    }

    /// The logits of all images by each layer, one a column.
    fn of_images(&self, features: &DMatrix<f64>) -> impl Iterator<Item = DMatrix<f64>> {
        let (classes, width) = (self.bias.len(), self.weight.columns());
        let layers = self.weight.values().chunks_exact(classes * width);
        layers.map(move |layer| {
            let weight = DMatrix::from_row_iterator(classes, width, doubles(layer));
            let mut logits = weight * features;
            for mut image in logits.column_iter_mut() {
                image
                    .iter_mut()
                    .zip(doubles(&self.bias))
                    .for_each(|(z, b)| *z += b);
            }
            logits
        })
    }
}

/// Equal bins between the least and the largest of the training images' values.
#[derive(Debug, Clone, Copy)]
struct Bins {
    range: [f64; 2],
    count: usize,
}

impl Bins {
    /// Those of values outside are left out.
    fn of(&self, value: f64) -> Option<usize> {
        let [low, high] = self.range;
        // A range of one value has all in the first bin: NaN becomes 0.
        let bin = || ((value - low) / (high - low) * self.count as f64) as usize;
        (low..=high)
            .contains(&value)
            .then(|| bin().min(self.count - 1))
    }

    /// Whether a value that is known to within `off` may be in one.
    fn reaches(&self, value: f64, off: f64) -> bool {
        let [low, high] = self.range;
        value - off <= high && value + off >= low
    }

    /// How many of the values are in each.
    fn counts<'a>(&self, values: impl Iterator<Item = &'a f64>) -> Vec<f64> {
        let mut counts = vec![0.0; self.count];
        for bin in values.filter_map(|&value| self.of(value)) {
            counts[bin] += 1.0;
        }
        counts
    }

    /// Which share of the values is in each.
    fn densities(&self, values: &[f64]) -> Vec<f64> {
        let counts = self.counts(values.iter()).into_iter();
        counts.map(|n| n / values.len() as f64).collect()
    }
}

/// The mean density of the training images.
#[derive(Debug)]
struct Histogram {
    kind: Kind,
    bins: Bins,
    smoothing: Smoothing,
    density: Vec<f64>,
}

impl Histogram {
    fn of_features(images: &[&[f32]], count: usize, smoothing: Smoothing) -> Self {
        let values: Vec<f64> = images.iter().copied().flat_map(doubles).collect();
        let range = values
            .iter()
            .fold(EMPTY, |range, &value| with(range, value));
        let bins = Bins { range, count };
        Self {
            kind: OF_FEATURES,
            density: bins.densities(&values),
            bins,
            smoothing,
        }
    }

    fn of_logits(layers: &Layers, images: &[&[f32]], count: usize, smoothing: Smoothing) -> Self {
        let (width, classes) = (layers.weight.columns(), layers.bias.len());
        let values = images.iter().copied().flat_map(doubles);
        let features = DMatrix::from_iterator(width, images.len(), values);
        let mut extremes = [(f64::INFINITY, [0; 2]), (f64::NEG_INFINITY, [0; 2])];
        for (layer, logits) in layers.of_images(&features).enumerate() {
            for (place, &logit) in logits.iter().enumerate() {
                let row = layer * classes + place % classes;
                let place = [row, place / classes];
                if logit < extremes[0].0 {
                    extremes[0] = (logit, place);
                }
                if logit > extremes[1].0 {
                    extremes[1] = (logit, place);
                }
            }
        }
        // As logits near an edge are summed.
        let range = extremes.map(|(_, [row, image])| {
            let features = features.column(image);
            let product = dot_mixed(layers.weight.row(row), features.as_slice());
            product + f64::from(layers.bias[row % classes])
        });
        let bins = Bins { range, count };
        let (mut density, mut all) = (vec![0.0; count], 0.0);
        for logits in layers.of_images(&features) {
            add(&mut density, &bins.counts(logits.iter()));
            all += logits.len() as f64;
        }
        density.iter_mut().for_each(|count| *count /= all);
        Self {
            kind: OF_LOGITS,
            bins,
            smoothing,
            density,
        }
    }

    fn restore(kind: Kind, reader: &Reader<'_>) -> Result<Self, Error> {
        let range = reader.array(kind.range)?;
        let density = reader.values(kind.density)?;
        let [width, floor] = reader.array(kind.smoothing)?;
        if range[0] > range[1] {
            return Err(reader.wrong(kind.range, "the least and the largest value"));
        }
        if density.len() > MAX_BINS || density.iter().any(|d| !(0.0..=1.0).contains(d)) {
            let expected = format!("up to {MAX_BINS} shares from 0 to 1");
            return Err(reader.wrong(kind.density, &expected));
        }
        let count = density.len();
        let is_width = width >= 1.0 && width <= count as f64 && width.fract() == 0.0;
        if !is_width || floor <= 0.0 {
            let expected = format!("a width from 1 to {count} and a number above 0");
            return Err(reader.wrong(kind.smoothing, &expected));
        }
        Ok(Self {
            kind,
            bins: Bins { range, count },
            smoothing: Smoothing {
                width: width as usize,
                floor,
            },
            density: density.to_vec(),
        })
    }

    fn save(&self, writer: &mut Writer) {
        let Smoothing { width, floor } = self.smoothing;
        writer.vector(self.kind.range, &self.bins.range);
        writer.vector(self.kind.density, &self.density);
        writer.vector(self.kind.smoothing, &[width as f64, floor]);
    }

    /// `KL(p ‖ q) + KL(q ‖ p)` of the training images' density p and the smoothed one of these values.
    fn divergence(&self, values: &[f64]) -> f64 {
        let Smoothing { width, floor } = self.smoothing;
        let p = raised(&self.density, floor);
        let q = raised(&smoothed(&self.bins.densities(values), width), floor);
        let terms = p.iter().zip(&q).map(|(p, q)| (p - q) * (p.ln() - q.ln()));
        terms.sum()
    }
}

const EMPTY: [f64; 2] = [f64::INFINITY, f64::NEG_INFINITY];

fn with([low, high]: [f64; 2], value: f64) -> [f64; 2] {
    [low.min(value), high.max(value)]
}

/// Means over so many neighbours, where the first and the last continue outside; of an even number,
/// one more comes behind than before.
fn smoothed(density: &[f64], width: usize) -> Vec<f64> {
    let (before, last) = ((width - 1) / 2, density.len() - 1);
    let mean = |bin: usize| {
        let of_window = |i: usize| density[(bin + i).saturating_sub(before).min(last)];
        (0..width).map(of_window).sum::<f64>() / width as f64
    };
    (0..density.len()).map(mean).collect()
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
        let logits = self.layers.logits(observation.features, &self.logits.bins);
        let layers = logits.chunks_exact(self.layers.bias.len());
        let repeats = layers.len() as f64;
        let largest: f64 = layers.map(largest_probability).sum();
        let [of_logits, of_largest] = self.lambdas;
        of_largest * largest / repeats
            - self.features.divergence(&features)
            - of_logits * self.logits.divergence(&logits)
    }

    fn classes(&self) -> Option<usize> {
        Some(self.layers.bias.len())
    }

    fn features(&self) -> Option<usize> {
        Some(self.layers.weight.columns())
    }

    fn save(&self, writer: &mut Writer) {
        writer.matrix(WEIGHT, &self.layers.weight);
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
