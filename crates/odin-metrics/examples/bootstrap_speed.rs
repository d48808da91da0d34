//! How long the confidence intervals of 10,000 + 10,000 scores take with 1,000 resamples:
//!
//!     cargo run --release -p odin-metrics --example bootstrap_speed [THREADS]
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Instant;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use odin_metrics::{Bootstrap, PaperProtocol, Scores};

const SCORES: usize = 10_000;
const RESAMPLES: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let threads = match std::env::args().nth(1) {
        Some(argument) => argument.parse()?,
        None => std::thread::available_parallelism()?.get(),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut uniform = |from: f64| {
        let draw = |rng: &mut ChaCha8Rng| rng.next_u64() as f64 / u64::MAX as f64;
        (0..SCORES)
            .map(|_| from + (1.0 - from) * draw(&mut rng))
            .collect::<Vec<_>>()
    };
    let (in_scores, out_scores) = (uniform(0.4), uniform(0.1));

    let start = Instant::now();
    let scores = Scores::new(&in_scores, &out_scores)?;
    println!("sort:            {:>9.2?}", start.elapsed());

    let protocol = PaperProtocol::baseline(10);
    let bootstrap = Bootstrap::new(RESAMPLES, 0, threads)?;
    time("exact metrics", || scores.exact());
    time("paper metrics", || scores.paper(&protocol).values);
    println!("{RESAMPLES} resamples on {threads} threads:");
    time("exact intervals", || scores.exact_intervals(&bootstrap));
    time("paper intervals", || {
        scores.paper_intervals(&protocol, &bootstrap)
    });
    Ok(())
}

fn time<T: std::fmt::Debug>(what: &str, work: impl FnOnce() -> T) {
    let start = Instant::now();
    let result = work();
    println!("{what}: {:>9.2?}  {result:.4?}", start.elapsed());
}
