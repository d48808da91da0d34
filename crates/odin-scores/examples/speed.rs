//! Seconds that fitting takes, and microseconds that each score takes per image, on one thread:
//!
//!     cargo run --release -p odin-scores --example speed
//!
//! for networks of the sizes of DenseNet-BC-100 and ResNet-50, with random features. The median of
//! several passes over the test images is printed; KNN and NNGuide, whose cost grows with the number of
//! training images, and WeiPer+KLD, which takes a hundred last layers, are apart.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use odin_scores::{Fitted, Head, Method, Observation, Scorer, Training, fit};

const PASSES: usize = 7;

struct Network {
    name: &'static str,
    features: usize,
    classes: usize,
    training: usize,
    test: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let networks = [
        Network {
            name: "DenseNet-BC-100",
            features: 342,
            classes: 10,
            training: 5000,
            test: 1000,
        },
        Network {
            name: "ResNet-50",
            features: 2048,
            classes: 1000,
            training: 10_000,
            test: 50,
        },
    ];
    for network in networks {
        measure(&network)?;
    }
    Ok(())
}

fn measure(network: &Network) -> Result<(), Box<dyn Error>> {
    let mut random = Random(1);
    let weight = random.values(network.classes * network.features, -0.05, 0.05);
    let head = Head::new(weight.clone(), vec![0.0; network.classes])?;
    let (features, logits) = images(network, network.training, &weight, &mut random);
    // Every class has an image, and no label is right but by chance: the costs are the same.
    let labels: Vec<usize> = (0..network.training)
        .map(|image| image % network.classes)
        .collect();
    let training = Training::new(&features, &logits, Some(&labels), network.classes)?;
    let (features, logits) = images(network, network.test, &weight, &mut random);
    let observations: Vec<Observation<'_>> = logits
        .chunks(network.classes)
        .zip(features.chunks(network.features))
        .map(|(logits, features)| Observation::new(logits).with_features(features))
        .collect();

    println!(
        "{}: D = {}, C = {}, {} training images",
        network.name, network.features, network.classes, network.training
    );
    println!("{:<22}{:>10}{:>12}", "score", "fit, s", "us/image");
    // Labels by chance have no temperature, and there are no feature maps and no shifts.
    let of_features = |method: Method| !method.needs_feature_map() && !method.needs_shift();
    let methods = Method::ALL
        .into_iter()
        .filter(|&m| m != Method::TemperatureScaling && of_features(m));
    let methods: Vec<Method> = methods.collect();
    for &method in &methods {
        let start = Instant::now();
        let fitted = fit(&[method], Some(&head), Some(&training))?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{method:<22}{seconds:>10.2}{:>12.1}",
            per_image(&fitted, &observations)
        );
    }
    let apart = [Method::Knn, Method::NnGuide, Method::WeiperKld];
    let together: Vec<Method> = methods.into_iter().filter(|m| !apart.contains(m)).collect();
    let start = Instant::now();
    let fitted = fit(&together, Some(&head), Some(&training))?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:<22}{seconds:>10.2}{:>12.1}\n",
        "all but three",
        per_image(&fitted, &observations)
    );
    Ok(())
}

/// Features behind a ReLU, and their logits.
fn images(
    network: &Network,
    count: usize,
    weight: &[f32],
    random: &mut Random,
) -> (Vec<f32>, Vec<f32>) {
    let features: Vec<f32> = random
        .values(count * network.features, -1.0, 2.0)
        .into_iter()
        .map(|value| value.max(0.0))
        .collect();
    let logits = features.chunks(network.features).flat_map(|features| {
        weight
            .chunks(network.features)
            .map(move |row| row.iter().zip(features).map(|(w, h)| w * h).sum::<f32>())
    });
    let logits = logits.collect();
    (features, logits)
}

/// Median of the passes, in microseconds.
fn per_image(scores: &[Fitted], observations: &[Observation<'_>]) -> f64 {
    let mut passes: Vec<f64> = (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            for observation in observations {
                for score in scores {
                    black_box(score.score(black_box(observation)));
                }
            }
            1e6 * start.elapsed().as_secs_f64() / observations.len() as f64
        })
        .collect();
    passes.sort_by(f64::total_cmp);
    passes[PASSES / 2]
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
