//! Rounding errors of ODIN's scores against PyTorch's in f64, on real images: those of PyTorch in
//! f32 and of the engine, with and without Winograd's method and in bf16, side by side as a Markdown
//! table.
//!
//!     cargo run --release -p odin-benches --bin rounding -- ../shared/refdata

use anyhow::{Context, Result, ensure};
use odin::{Classifier, Normalization};
use odin_benches::run::{Run, fast};
use odin_cpu::{Bf16Instructions, Options, Winograd};
use odin_data::{OpenOptions, open};
use std::path::{Path, PathBuf};

/// The settings of the reference files.
const TEMPERATURE: f64 = 1000.0;
const MAGNITUDE: f64 = 0.0014;
/// The sets of which there are scores in f64.
const SETS: [&str; 2] = ["cifar10", "Imagenet_resize"];

/// The prediction, the maximum softmax probability and ODIN's score of each image.
type Scores = Vec<(usize, f64, f64)>;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("give the folder of the reference data")?;
    let weights = folder.join("weights/densenet_bc_100_12_cifar10.pth");
    let classifier = Classifier::open(&weights, Normalization::cifar())?;
    println!("| set | computed by | msp: largest | odin: median | 99 % | largest |");
    println!("|---|---|---|---|---|---|");
    for set in SETS {
        let golden = |precision| {
            folder.join(format!(
                "golden/densenet10.{set}.T1000.eps0.0014.{precision}.csv"
            ))
        };
        let exact = read(&golden("f64"))?;
        row(set, "PyTorch, f32", &read(&golden("f32"))?, &exact)?;
        let images = open(&folder.join("sets").join(set), &OpenOptions::default())?;
        let mut ways = Vec::new();
        for (name, winograd) in [
            ("direct convolution only", Winograd::Never),
            ("chosen by shape", Winograd::Auto),
            ("2x2 wherever possible", Winograd::Tiles2),
            ("4x4 wherever possible", Winograd::Tiles4),
        ] {
            let mut options = Options::default();
            options.winograd = winograd;
            ways.push((name.to_string(), options));
        }
        for bf16 in Bf16Instructions::available() {
            ways.push((format!("fast, {bf16}"), fast(bf16)));
        }
        for (name, options) in ways {
            let run = Run::new(&classifier, options, [TEMPERATURE, MAGNITUDE])?;
            let scores = run.scores(&*images)?.into_iter();
            let scores = scores.map(|s| (s.prediction, s.msp, s.odin)).collect();
            row(set, &name, &scores, &exact)?;
        }
    }
    Ok(())
}

/// Columns 1 to 3 of a file of reference scores.
fn read(path: &Path) -> Result<Scores> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let parse = |line: &str| -> Result<(usize, f64, f64)> {
        let mut fields = line.split(',').skip(1);
        let mut next = || fields.next().context("a line with too few columns");
        Ok((next()?.parse()?, next()?.parse()?, next()?.parse()?))
    };
    text.lines().skip(1).map(parse).collect()
}

fn row(set: &str, by: &str, found: &Scores, exact: &Scores) -> Result<()> {
    ensure!(found.len() == exact.len(), "{set}: not the same images");
    let pairs = || found.iter().zip(exact);
    let wrong = pairs().filter(|(a, b)| a.0 != b.0).count();
    ensure!(wrong == 0, "{set}, {by}: {wrong} other predictions");
    let sorted = |of: fn(&(usize, f64, f64)) -> f64| {
        let mut all: Vec<f64> = pairs().map(|(a, b)| (of(a) - of(b)).abs()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (msp, odin) = (sorted(|s| s.1), sorted(|s| s.2));
    let quantile = |all: &[f64], share: f64| all[((all.len() - 1) as f64 * share) as usize];
    println!(
        "| {set}, {} images | {by} | {:.1e} | {:.1e} | {:.1e} | {:.1e} |",
        found.len(),
        quantile(&msp, 1.0),
        quantile(&odin, 0.5),
        quantile(&odin, 0.99),
        quantile(&odin, 1.0)
    );
    Ok(())
}
