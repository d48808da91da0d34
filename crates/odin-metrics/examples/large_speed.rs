//! How long metrics and curves of many scores take. Two files of little-endian f64, as numpy's
//! `tofile` writes them; without files, 5 + 5 million scores of a logistic distribution:
//!
//!     cargo run --release -p odin-metrics --example large_speed [IN OUT]
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::time::Instant;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use odin_metrics::{
    HistogramSketch, PaperProtocol, Points, Scores, Side, calibrate, threshold_at_tpr,
};

const SCORES: usize = 5_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let (in_scores, out_scores) = match files.as_slice() {
        [in_file, out_file] => (read(in_file)?, read(out_file)?),
        _ => (logistic(0, 1.0), logistic(1, 0.0)),
    };
    let scores = time(
        "check and sort",
        || Scores::new(&in_scores, &out_scores),
        |_| (),
    )?;
    time("exact metrics", || scores.exact(), |metrics| *metrics);
    for points in [Points::All, Points::Corners] {
        let curve = |what: &str, sums: [f64; 3], length: usize| format!("{what} {length} {sums:?}");
        let roc = || scores.roc_curve(points);
        time("ROC curve", roc, |roc| {
            let thresholds = roc.thresholds[1..].iter().sum();
            let sums = [roc.fpr.iter().sum(), roc.tpr.iter().sum(), thresholds];
            curve("roc", sums, roc.fpr.len())
        });
        for side in [Side::In, Side::Out] {
            let precision_recall = || scores.precision_recall_curve(side, points);
            time("precision-recall curve", precision_recall, |pr| {
                let sums = [&pr.precision, &pr.recall, &pr.thresholds].map(|v| v.iter().sum());
                curve("pr", sums, pr.precision.len())
            });
        }
    }
    time(
        "paper metrics",
        || scores.paper(&PaperProtocol::other()),
        |m| m.values,
    );
    time("lowest error", || scores.lowest_error(), |point| *point);
    time(
        "threshold",
        || threshold_at_tpr(&in_scores, 0.95),
        |t| t.clone().ok(),
    )?;
    time(
        "calibration",
        || calibrate(&in_scores, 0.95),
        |c| c.clone().ok(),
    )?;

    let mut sketch = HistogramSketch::new(HistogramSketch::PRECISION)?;
    time(
        "sketch",
        || {
            sketch
                .add_in(&in_scores)
                .and_then(|()| sketch.add_out(&out_scores))
        },
        |_| (),
    )?;
    time(
        "bytes of the sketch",
        || sketch.to_bytes(),
        |bytes| (bytes.len(), sketch.bins()),
    );
    time(
        "metrics of the sketch",
        || sketch.metrics(),
        |m| m.clone().ok(),
    )?;
    time(
        "bounds of the sketch",
        || sketch.bounds(),
        |m| m.clone().ok(),
    )?;
    Ok(())
}

fn read(path: &str) -> Result<Vec<f64>, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let (numbers, _) = bytes.as_chunks::<8>();
    Ok(numbers
        .iter()
        .map(|bytes| f64::from_le_bytes(*bytes))
        .collect())
}

fn logistic(seed: u64, centre: f64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || {
        let uniform = ((rng.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        centre + (uniform / (1.0 - uniform)).ln()
    };
    (0..SCORES).map(|_| draw()).collect()
}

/// Prints the time of `work`, and what `shown` makes of its result.
fn time<T, S: Debug>(what: &str, work: impl FnOnce() -> T, shown: impl FnOnce(&T) -> S) -> T {
    let start = Instant::now();
    let result = work();
    let elapsed = start.elapsed();
    println!("{what:24} {elapsed:>9.1?}  {:?}", shown(&result));
    result
}
