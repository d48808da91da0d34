//! The field's metrics of scores from anywhere, with 95 % intervals. Each file has one number a
//! line, high for images that are known:
//!
//!     cargo run -p odin --example metrics -- IN_SCORES OUT_SCORES

use odin::{Intervals, MeasureOptions, measure};
use std::error::Error;
use std::io::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [in_scores, out_scores] = &arguments[..] else {
        return Err("expected IN_SCORES OUT_SCORES".into());
    };
    let out = &mut std::io::stdout();
    run(Path::new(in_scores), Path::new(out_scores), out)
}

pub(crate) fn run(
    in_scores: &Path,
    out_scores: &Path,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let intervals = Intervals::new(1000, 0, 1);
    let (known, unknown) = (numbers(in_scores)?, numbers(out_scores)?);
    let options = MeasureOptions::default().intervals(intervals);
    let measured = measure(&known, &unknown, &options)?;
    let ci95 = measured.ci95.map(|ci95| ci95.named());
    for (i, (name, value)) in measured.metrics.named().into_iter().enumerate() {
        write!(out, "{name}: {:.2} %", 100.0 * value)?;
        if let Some((_, interval)) = ci95.map(|ci95| ci95[i]) {
            let [lower, upper] = [interval.lower, interval.upper].map(|v| 100.0 * v);
            write!(out, " ({lower:.2} to {upper:.2})")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn numbers(path: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    let number = |line: &str| {
        line.trim()
            .parse()
            .map_err(|_| format!("no number: {line:?}"))
    };
    Ok(text.lines().map(number).collect::<Result<_, _>>()?)
}
