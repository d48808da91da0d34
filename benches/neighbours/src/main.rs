//! An approximate index of nearest neighbours (HNSW, the crate `hnsw_rs`) beside the exact search of KNN:
//!
//!     cargo run --release -p neighbours --features peers -- 65536 512
//!
//! for so many training images of so many features, on one thread, in seconds that it runs; `65536 512
//! 32 32` for one sort of them twice, `65536 512 32 32 exact` without the index. Features are synthetic:
//! a ReLU of the centre of one of 100 classes and noise, in all directions alike (0), or in 32
//! directions of its class, as features of trained networks have few; then normalised. The recall is
//! the share of the k nearest of 200 queries, half of which are of no class, that the index finds; k =
//! 50 is KNN's default.

use std::hint::black_box;

use anyhow::Result;
use hnsw_rs::prelude::{DistL2, Hnsw};
use odin_scores::{Method, Observation, Parameters, Scorer, Training, fit_with};

const CLASSES: usize = 100;
const DIRECTIONS: usize = 32;
const QUERIES: usize = 200;
const K: usize = 50;
/// Links of a point, and the breadth of the search when it is inserted: what HNSW's authors advise
/// for many features.
const LINKS: usize = 24;
const BREADTH: usize = 200;
/// Queries of a whole run.
const RUN: f64 = 10_000.0;

fn main() -> Result<()> {
    let texts = std::env::args().skip(1).filter(|text| text != "exact");
    let mut numbers = texts.map(|text| text.parse());
    let mut number = |default: usize| numbers.next().unwrap_or(Ok(default));
    let (images, features) = (number(65_536)?, number(512)?);
    let chosen = [number(0)?, number(DIRECTIONS)?];
    for directions in chosen.map(|count| (count > 0).then_some(count)) {
        let noise = match directions {
            None => "noise in all directions".to_owned(),
            Some(count) => format!("noise in {count} directions of each class"),
        };
        println!("{images} x {features}, {noise}, k = {K}");
        measure(&mut Source::new(features, directions), images)?;
    }
    Ok(())
}

fn measure(source: &mut Source, images: usize) -> Result<()> {
    let width = source.features;
    let rows: Vec<f32> = (0..images).flat_map(|_| source.image(true)).collect();
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|i| source.image(i % 2 == 0)).collect();
    let nearest: Vec<Vec<(f32, usize)>> = queries.iter().map(|q| exactly(q, &rows)).collect();

    let mut parameters = Parameters::default();
    parameters.knn_k = Some(K);
    let start = seconds();
    let logits = vec![0.0; 2 * images];
    let training = Training::new(&rows, &logits, None, 2)?;
    let knn = fit_with(&parameters, &[Method::Knn], None, Some(&training))?.remove(0);
    let fitting = seconds() - start;
    let start = seconds();
    for query in &queries {
        black_box(knn.score(&Observation::new(&[0.0, 0.0]).with_features(query)));
    }
    let each = (seconds() - start) / QUERIES as f64;
    report("exact, knn", fitting, each, 1.0, 0.0);
    let observation = |query| Observation::new(&[0.0, 0.0]).with_features(query);
    let observations: Vec<_> = queries.iter().map(|query| observation(query)).collect();
    let start = seconds();
    black_box(knn.score_batch(&observations));
    let each = (seconds() - start) / QUERIES as f64;
    report("exact, in batches", fitting, each, 1.0, 0.0);
    if std::env::args().any(|argument| argument == "exact") {
        return Ok(());
    }

    let start = seconds();
    let index = Hnsw::<f32, DistL2>::new(LINKS, images, 16, BREADTH, DistL2 {});
    for (i, row) in rows.chunks_exact(width).enumerate() {
        index.insert((row, i));
    }
    let building = seconds() - start;
    for breadth in [K, 2 * K, 4 * K, 16 * K] {
        let start = seconds();
        let found: Vec<_> = queries
            .iter()
            .map(|query| index.search(query, K, breadth))
            .collect();
        let each = (seconds() - start) / QUERIES as f64;
        let (mut hits, mut off) = (0, 0.0);
        for (found, nearest) in found.iter().zip(&nearest) {
            let is_near = |id: usize| nearest.iter().any(|(_, near)| *near == id);
            hits += found.iter().filter(|found| is_near(found.d_id)).count();
            let distance = nearest
                .last()
                .map_or(f32::NAN, |(squared, _)| squared.sqrt());
            off +=
                f64::from(found.last().map_or(f32::NAN, |found| found.distance) / distance - 1.0);
        }
        let recall = hits as f64 / (QUERIES * K) as f64;
        let name = format!("HNSW, breadth {breadth}");
        report(&name, building, each, recall, off / QUERIES as f64);
    }
    Ok(())
}

/// Seconds to fit or build, for a query, and for a whole run.
fn report(name: &str, building: f64, each: f64, recall: f64, off: f64) {
    println!(
        "  {name:<20} built in {building:>7.1} s, {:>7.3} ms a query, 10,000 with building {:>6.0} s, \
         recall {recall:.3}, k-th distance {:+.2} %",
        1e3 * each,
        building + RUN * each,
        100.0 * off
    );
}

/// The k nearest rows, with their squared distances.
fn exactly(query: &[f32], rows: &[f32]) -> Vec<(f32, usize)> {
    let rows = rows.chunks_exact(query.len()).enumerate();
    let squared = |row: &[f32]| row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum();
    let mut all: Vec<(f32, usize)> = rows.map(|(i, row)| (squared(row), i)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.truncate(K);
    all
}

/// Makes normalised features.
struct Source {
    features: usize,
    random: Random,
    /// Of each class.
    centres: Vec<Vec<f32>>,
    /// Of each class, the directions of its noise, none for all.
    directions: Vec<Vec<Vec<f32>>>,
}

impl Source {
    fn new(features: usize, directions: Option<usize>) -> Self {
        let mut random = Random(1);
        let centres = (0..CLASSES).map(|_| random.values(features));
        let centres = centres.collect();
        let mut of_class = || -> Vec<Vec<f32>> {
            let count = directions.unwrap_or(0);
            (0..count).map(|_| random.values(features)).collect()
        };
        let directions = (0..CLASSES).map(|_| of_class()).collect();
        Self {
            features,
            centres,
            directions,
            random,
        }
    }

    /// Of a class, or of between two.
    fn image(&mut self, of_class: bool) -> Vec<f32> {
        let [class, other] = [self.random.below(CLASSES), self.random.below(CLASSES)];
        let share = if of_class { 0.0 } else { 0.5 };
        let noise = self.noise(class);
        let centres = self.centres[class].iter().zip(&self.centres[other]);
        let values = centres.zip(noise).map(|((a, b), noise)| {
            let centre = (1.0 - share) * a + share * b;
            (centre + 0.5 * noise).max(0.0)
        });
        let values: Vec<f32> = values.collect();
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        values.iter().map(|v| v / length).collect()
    }

    /// Of variance 1.
    fn noise(&mut self, class: usize) -> Vec<f32> {
        let directions = &self.directions[class];
        if directions.is_empty() {
            return self.random.values(self.features);
        }
        let scale = 1.0 / (directions.len() as f32).sqrt();
        let mut noise = vec![0.0; self.features];
        for direction in directions {
            let step = scale * self.random.normal();
            for (sum, value) in noise.iter_mut().zip(direction) {
                *sum += step * value;
            }
        }
        noise
    }
}

/// Seconds that this thread has run, so that others on the machine count for less (Linux).
fn seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = status.split_whitespace().next();
    nanoseconds.map_or(f64::NAN, |text| text.parse().unwrap_or(f64::NAN)) / 1e9
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

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }
}
