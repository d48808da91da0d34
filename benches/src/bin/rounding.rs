//! Rounding errors of ODIN's scores against PyTorch's in f64, on real images: those of PyTorch in
//! f32 and of the engine, with and without Winograd's method, side by side as a Markdown table.
//!
//!     cargo run --release -p odin-benches --bin rounding -- ../shared/refdata

use anyhow::{Context, Result, ensure};
use odin::{Classifier, Normalization};
use odin_cpu::{Engine, Options, Output, Winograd};
use odin_data::{DataSet, OpenOptions, open};
use odin_graph::odin::{names, transform};
use std::path::{Path, PathBuf};

/// The settings of the reference files.
const TEMPERATURE: f64 = 1000.0;
const MAGNITUDE: f64 = 0.0014;
/// The sets of which there are scores in f64.
const SETS: [&str; 2] = ["cifar10", "Imagenet_resize"];
const BATCH: usize = 32;

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
        for (name, winograd) in [
            ("direct convolution only", Winograd::Never),
            ("chosen by shape", Winograd::Auto),
            ("2x2 wherever possible", Winograd::Tiles2),
            ("4x4 wherever possible", Winograd::Tiles4),
        ] {
            row(set, name, &score(&classifier, &*images, winograd)?, &exact)?;
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

fn score(classifier: &Classifier, images: &dyn DataSet, winograd: Winograd) -> Result<Scores> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options::default();
    options.winograd = winograd;
    let graph = transform(classifier.graph(), 1)?;
    let engine = Engine::with_options(&graph, threads, options)?;
    let input = classifier.graph().inputs().next();
    let name = input
        .map(|(_, input)| input.name.clone())
        .context("a network without an input")?;
    let (mean, std) = (
        classifier.normalization().mean(),
        classifier.normalization().std(),
    );
    let step: Vec<f32> = std
        .iter()
        .map(|&std| (MAGNITUDE / f64::from(std)) as f32)
        .collect();
    let mut scores = Scores::new();
    for first in (0..images.len()).step_by(BATCH) {
        let batch = first..images.len().min(first + BATCH);
        let mut pixels = Vec::new();
        for i in batch.clone() {
            let image = images.get(i)?.image;
            let planes = image.pixels.chunks(image.height * image.width);
            for (plane, (mean, std)) in planes.zip(mean.iter().zip(std)) {
                pixels.extend(plane.iter().map(|pixel| (pixel - mean) / std));
            }
        }
        let inputs: [(&str, &[f32]); 3] = [
            (&name, &pixels),
            (names::TEMPERATURE, &[TEMPERATURE as f32]),
            (names::STEP, &step),
        ];
        let outputs = engine.run(batch.len(), &inputs)?;
        let floats = |name: &str| {
            let mut all = graph.outputs().iter().zip(&outputs);
            match all.find(|(output, _)| output.name == name) {
                Some((_, Output::Float(floats))) => Ok(floats.chunks(classifier.classes())),
                _ => anyhow::bail!("the graph has no output {name}"),
            }
        };
        for (clean, perturbed) in floats(names::LOGITS)?.zip(floats(names::PERTURBED_LOGITS)?) {
            let (prediction, _) = (clean.iter().enumerate())
                .max_by(|a, b| a.1.total_cmp(b.1))
                .context("a network without classes")?;
            let (msp, odin) = (softmax(clean, 1.0), softmax(perturbed, TEMPERATURE));
            scores.push((prediction, msp, odin));
        }
    }
    Ok(scores)
}

/// The largest, in f64.
fn softmax(logits: &[f32], temperature: f64) -> f64 {
    let scaled = || logits.iter().map(|&z| f64::from(z) / temperature);
    let max = scaled().fold(f64::NEG_INFINITY, f64::max);
    1.0 / scaled().map(|z| (z - max).exp()).sum::<f64>()
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
