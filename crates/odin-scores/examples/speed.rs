//! Time that fitting and scoring take, for each score alone and on one thread:
//!
//!     cargo run --release -p odin-scores --example speed
//!
//! for networks of the sizes of ResNet-20 on CIFAR-10 and ResNet-50 on ImageNet-1K, with random features;
//! `-- ResNet-50 4000 knn vim` for one of them, so many training images and some scores. Fitting is what each training image adds, and
//! what remains to be done when all were seen; scoring is the median of several passes over the test
//! images. What grows with the images that are kept (KNN, NNGuide) is for as many as the table says.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use odin_scores::{
    Fitted, Head, Method, Observation, Parameters, Scorer, Training, TrainingSummary, fit_summary,
};

const PASSES: usize = 7;
const BATCH: usize = 250;

struct Network {
    name: &'static str,
    features: usize,
    classes: usize,
    /// Of the feature map.
    positions: usize,
    training: usize,
    test: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let networks = [
        Network {
            name: "ResNet-20",
            features: 64,
            classes: 10,
            positions: 64,
            training: 10_000,
            test: 500,
        },
        Network {
            name: "ResNet-50",
            features: 2048,
            classes: 1000,
            positions: 49,
            training: 4_000,
            test: 20,
        },
    ];
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let methods = chosen.iter().skip(2).map(|name| name.parse());
    let methods: Vec<Method> = methods.collect::<Result<_, _>>()?;
    let of_name = |network: &Network| chosen.first().is_none_or(|name| name == network.name);
    let images = chosen.get(1).map(|text| text.parse()).transpose()?;
    for mut network in networks.into_iter().filter(of_name) {
        network.training = images.unwrap_or(network.training);
        measure(
            &network,
            if methods.is_empty() {
                &Method::ALL
            } else {
                &methods
            },
        )?;
    }
    Ok(())
}

fn measure(network: &Network, methods: &[Method]) -> Result<(), Box<dyn Error>> {
    let mut random = Random(1);
    let weight = random.values(network.classes * network.features, -0.05, 0.05);
    let head = Head::new(weight.clone(), vec![0.0; network.classes])?;
    let training = Images::new(network, network.training, &weight, &mut random);
    let test = Images::new(network, network.test, &weight, &mut random);
    println!(
        "{}: D = {}, C = {}, {} positions, {} training images",
        network.name, network.features, network.classes, network.positions, network.training
    );
    println!(
        "{:<24}{:>14}{:>12}{:>14}",
        "score", "ms per 1,000", "then, s", "us an image"
    );
    for &method in methods {
        let (fitted, each, then) = match fit(network, &training, &head, method) {
            Ok(fitted) => fitted,
            Err(error) => {
                println!("{method:<24}{error}");
                continue;
            }
        };
        let score = test.per_image(network, &fitted);
        match method.needs_training() {
            true => println!("{method:<24}{each:>14.1}{then:>12.3}{score:>14.1}"),
            false => println!("{method:<24}{:>14}{:>12}{score:>14.1}", "-", "-"),
        }
    }
    println!();
    Ok(())
}

/// The score, milliseconds for each 1,000 images that are added, and seconds thereafter.
fn fit(
    network: &Network,
    images: &Images,
    head: &Head,
    method: Method,
) -> Result<(Fitted, f64, f64), Box<dyn Error>> {
    let mut summary = TrainingSummary::new(&[method], network.classes, network.features);
    let mut adding = 0.0;
    for batch in 0..network.training / BATCH {
        if method.needs_training() {
            let training = images.training(network, batch)?;
            let start = Instant::now();
            summary.observe(&training, None)?;
            adding += start.elapsed().as_secs_f64();
        }
    }
    let start = Instant::now();
    let mut fitted = fit_summary(
        &Parameters::default(),
        &[method],
        Some(head),
        Some(&summary),
    )?;
    let then = start.elapsed().as_secs_f64();
    Ok((
        fitted.remove(0),
        1e6 * adding / network.training as f64,
        then,
    ))
}

/// What a network says of images.
struct Images {
    features: Vec<f32>,
    logits: Vec<f32>,
    labels: Vec<usize>,
    shifted: Vec<f32>,
    /// Of a batch, which stand for those of the others.
    maps: Vec<f32>,
}

impl Images {
    /// Features behind a ReLU, and their logits; some labels are right.
    fn new(network: &Network, count: usize, weight: &[f32], random: &mut Random) -> Self {
        let mut rectified = |count: usize| -> Vec<f32> {
            let values = random.values(count, -1.0, 2.0).into_iter();
            values.map(|value| value.max(0.0)).collect()
        };
        let features = rectified(count * network.features);
        let maps = rectified(count.min(BATCH) * network.features * network.positions);
        let logits: Vec<f32> = features
            .chunks(network.features)
            .flat_map(|features| {
                let rows = weight.chunks(network.features);
                rows.map(move |row| row.iter().zip(features).map(|(w, h)| w * h).sum::<f32>())
            })
            .collect();
        let right = |logits: &[f32]| {
            let largest = logits.iter().copied().fold(f32::MIN, f32::max);
            logits.iter().position(|z| *z == largest).unwrap_or(0)
        };
        let labels = logits.chunks(network.classes).enumerate();
        let labels = labels.map(|(i, logits)| match i % 3 {
            0 => i % network.classes,
            _ => right(logits),
        });
        Self {
            labels: labels.collect(),
            shifted: features.iter().map(|h| 0.9 * h + 0.01).collect(),
            features,
            logits,
            maps,
        }
    }

    fn training(
        &self,
        network: &Network,
        batch: usize,
    ) -> Result<Training<'_>, odin_scores::Error> {
        let part = batch * BATCH..(batch + 1) * BATCH;
        let of = |width: usize| part.start * width..part.end * width;
        let features = of(network.features);
        let training = Training::new(
            &self.features[features.clone()],
            &self.logits[of(network.classes)],
            Some(&self.labels[part.clone()]),
            network.classes,
        )?;
        let training = training.with_feature_maps(&self.maps)?;
        training.with_shifted_features(&self.shifted[features])
    }

    /// Median of the passes, in microseconds.
    fn per_image(&self, network: &Network, score: &Fitted) -> f64 {
        let (width, images) = (network.features, self.labels.len());
        let maps = self.maps.chunks(width * network.positions).cycle();
        let rows = self.features.chunks(width).zip(self.shifted.chunks(width));
        let logits = self.logits.chunks(network.classes);
        let observations: Vec<Observation<'_>> = logits
            .zip(rows)
            .zip(maps)
            .map(|((logits, (features, shifted)), map)| {
                Observation::new(logits)
                    .with_features(features)
                    .with_shifted_features(shifted)
                    .with_feature_map(map)
            })
            .collect();
        let pass = || {
            let start = Instant::now();
            for observation in &observations {
                black_box(score.score(black_box(observation)));
            }
            1e6 * start.elapsed().as_secs_f64() / images as f64
        };
        let mut passes: Vec<f64> = (0..PASSES).map(|_| pass()).collect();
        passes.sort_by(f64::total_cmp);
        passes[PASSES / 2]
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn values(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
        (0..count)
            .map(|_| {
                self.0 ^= self.0 << 13;
                self.0 ^= self.0 >> 7;
                self.0 ^= self.0 << 17;
                low + (high - low) * ((self.0 >> 40) as f32 / (1 << 24) as f32)
            })
            .collect()
    }
}
