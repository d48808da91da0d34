//! Compares matrix product crates on the products that the networks are made of, on one thread,
//! and prints a Markdown table.
//!
//! The crates take turns of a millisecond, and the best turn of each counts: what else the
//! machine does can only slow a turn down. Factors and product are those of the turn before, in
//! whatever cache they fit.

mod crates;
mod shapes;

use crates::{Factors, PRODUCTS, Run};
use fma_peak::Isa;
use shapes::{SHAPES, Shape};
use std::time::{Duration, Instant};

const TURNS: usize = 120;
const TURN: Duration = Duration::from_micros(1200);

fn main() -> Result<(), rayon::ThreadPoolBuildError> {
    // rten-gemm asks the pool that it is called in how many threads there are.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    one.install(print_table);
    Ok(())
}

fn print_table() {
    let available = Isa::available().into_iter();
    let peaks: Vec<(Isa, f64)> = available.map(|isa| (isa, isa.peak(1))).collect();
    for (isa, peak) in &peaks {
        println!("- measured peak of multiply-adds on one thread, {isa}: {peak:.0} GFLOP/s");
    }
    let peak = peaks.first().map(|(_, peak)| *peak);
    println!();
    let names: Vec<&str> = PRODUCTS.iter().map(|p| p.name).collect();
    println!("| product | M | K | N | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(3 + names.len()));
    for shape in SHAPES {
        let seconds = best_seconds(shape);
        let cells: Vec<String> = seconds.iter().map(|s| cell(shape, *s, peak)).collect();
        let Shape { place, m, k, n, .. } = shape;
        println!("| {place} | {m} | {k} | {n} | {} |", cells.join(" | "));
    }
}

/// GFLOP/s and the share of the peak of the widest vectors.
fn cell(shape: &Shape, seconds: Option<f64>, peak: Option<f64>) -> String {
    let Some(seconds) = seconds else {
        return String::new();
    };
    let gflops = shape.flops() / seconds / 1e9;
    match peak {
        Some(peak) => format!("{gflops:.0} ({:.0} %)", 100.0 * gflops / peak),
        None => format!("{gflops:.0}"),
    }
}

/// Of one product, in the order of [`PRODUCTS`].
fn best_seconds(shape: &'static Shape) -> Vec<Option<f64>> {
    let factors = Factors::new(shape);
    let mut product = vec![0.0; shape.m * shape.n];
    let mut runs: Vec<Option<Run<'_>>> = PRODUCTS.iter().map(|p| (p.prepare)(&factors)).collect();
    check(&mut runs, product.len());
    let mut best = vec![None; runs.len()];
    for _ in 0..TURNS {
        for (run, best) in runs.iter_mut().zip(&mut best) {
            if let Some(run) = run {
                let seconds = seconds_of_one(run, &mut product);
                *best = Some(best.unwrap_or(f64::INFINITY).min(seconds));
            }
        }
    }
    best
}

/// All crates compute the same.
fn check(runs: &mut [Option<Run<'_>>], len: usize) {
    let results = runs.iter_mut().flatten().map(|run| {
        let mut product = vec![f32::NAN; len];
        run(&mut product);
        product
    });
    let results: Vec<Vec<f32>> = results.collect();
    let largest = results[0].iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    for other in &results[1..] {
        let mut pairs = results[0].iter().zip(other);
        assert!(pairs.all(|(a, b)| (a - b).abs() <= 1e-4 * largest));
    }
}

fn seconds_of_one(run: &mut Run<'_>, product: &mut [f32]) -> f64 {
    let begun = Instant::now();
    let mut done = 0;
    while begun.elapsed() < TURN {
        run(product);
        done += 1;
    }
    begun.elapsed().as_secs_f64() / f64::from(done)
}
