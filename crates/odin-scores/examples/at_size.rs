//! Memory and time that fitting takes at the size of ImageNet-1K, with every score that is fitted:
//!
//!     cargo run --release -p odin-scores --example at_size -- 1281167
//!
//! Synthetic images of 2,048 features and 1,000 classes are made batch by batch, as a network would give
//! them, and added to one summary; `-- IMAGES FEATURES CLASSES` for other sizes. The memory of the process
//! is that of Linux (`/proc/self/status`).
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Instant;

use nalgebra::DMatrix;
use odin_scores::{Head, Method, Parameters, Training, TrainingSummary, fit_summary};

const BATCH: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse());
    let mut number = |default: usize| numbers.next().unwrap_or(Ok(default));
    let (images, features, classes) = (number(1_281_167)?, number(2048)?, number(1000)?);
    let methods: Vec<Method> = Method::ALL
        .into_iter()
        .filter(|method| method.needs_training() && fits(*method, features, classes))
        .collect();
    let mut network = Network::new(features, classes);
    let head = Head::new(network.rows_of_weight(), vec![0.0; classes])?;
    println!(
        "{images} images, D = {features}, C = {classes}, {} scores",
        methods.len()
    );
    println!(
        "{:>10}{:>12}{:>12}{:>14}",
        "images", "RSS, MB", "peak, MB", "ms an image"
    );

    let mut summary = TrainingSummary::new(&methods, classes, features);
    let (mut done, mut next, mut seconds) = (0, 25_000, 0.0);
    while done < images {
        let batch = network.batch(BATCH.min(images - done));
        let training = Training::new(&batch.features, &batch.logits, Some(&batch.labels), classes)?;
        let training = training.with_feature_maps(&batch.features)?;
        let training = training.with_shifted_features(&batch.shifted)?;
        let start = Instant::now();
        summary.observe(&training, Some(&head))?;
        seconds += start.elapsed().as_secs_f64();
        done += batch.labels.len();
        if done >= next || done == images {
            let each = 1e3 * seconds / done as f64;
            println!(
                "{done:>10}{:>12}{:>12}{each:>14.2}",
                memory("VmRSS:"),
                memory("VmHWM:")
            );
            next *= 2;
        }
    }
    let parameters = Parameters::default();
    let alone = [Method::Vim, Method::WeiperKld, Method::Knn, Method::NnGuide];
    let others = methods
        .iter()
        .copied()
        .filter(|method| !alone.contains(method));
    println!("{:<40}{:>10}{:>12}", "fitted", "s", "peak, MB");
    let alone = alone.into_iter().map(|method| vec![method]);
    for methods in std::iter::once(others.collect()).chain(alone) {
        let start = Instant::now();
        let fitted = fit_summary(&parameters, &methods, Some(&head), Some(&summary))?;
        let name = match fitted.len() {
            1 => fitted[0].method().to_string(),
            count => format!("the {count} others"),
        };
        let seconds = start.elapsed().as_secs_f64();
        println!("{name:<40}{seconds:>10.1}{:>12}", memory("VmHWM:"));
    }
    Ok(())
}

/// A covariance of each class is refused beyond so many numbers.
fn fits(method: Method, features: usize, classes: usize) -> bool {
    method != Method::Gmm || classes * features * features <= 1 << 27
}

/// Megabytes, of a line of the process's status; 0 where there is none.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|text| text.strip_prefix(line));
    let kibibytes = value.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
    kibibytes.map_or(0, |kibibytes: u64| kibibytes * 1024 / 1_000_000)
}

struct Batch {
    features: Vec<f32>,
    shifted: Vec<f32>,
    logits: Vec<f32>,
    labels: Vec<usize>,
}

/// A last layer, and images whose features lie about its rows.
struct Network {
    /// A column a class.
    weight: DMatrix<f32>,
    random: Random,
}

impl Network {
    fn new(features: usize, classes: usize) -> Self {
        let mut random = Random(1);
        let scale = 2.0 / (features as f32).sqrt();
        let weight = DMatrix::from_fn(features, classes, |_, _| scale * random.normal());
        Self { weight, random }
    }

    /// Row by row, as the column-major matrix holds its columns.
    fn rows_of_weight(&self) -> Vec<f32> {
        self.weight.as_slice().to_vec()
    }

    /// Behind a ReLU; two thirds of the labels are the class whose row the features lie about.
    fn batch(&mut self, images: usize) -> Batch {
        let (features, classes) = self.weight.shape();
        let random = &mut self.random;
        let centres: Vec<usize> = (0..images).map(|_| random.below(classes)).collect();
        let mut values = DMatrix::<f32>::zeros(features, images);
        for (mut image, &class) in values.column_iter_mut().zip(&centres) {
            for (h, w) in image.iter_mut().zip(self.weight.column(class).iter()) {
                *h = (3.0 * w + 0.4 * random.normal()).max(0.0);
            }
        }
        let logits = self.weight.tr_mul(&values);
        let labels = centres.into_iter().map(|class| match random.below(3) {
            0 => random.below(classes),
            _ => class,
        });
        Batch {
            labels: labels.collect(),
            shifted: values.iter().map(|h| 0.9 * h + 0.01).collect(),
            logits: logits.as_slice().to_vec(),
            features: values.as_slice().to_vec(),
        }
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() >> 33) as usize % count
    }

    /// Near enough: the sum of four uniform numbers, of variance 1.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: f32 = (0..4)
            .map(|i| (bits >> (16 * i) & 0xffff) as f32 / 65_536.0)
            .sum();
        (sum - 2.0) * 3f32.sqrt()
    }
}
