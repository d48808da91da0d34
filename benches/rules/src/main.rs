//! Scores an in-distribution set, out-of-distribution sets and sets made from the former at every
//! setting of a grid, and writes one `.npy` of settings by images for each set.

mod made;
mod npy;

use anyhow::{Context, Result, bail};
use clap::Parser;
use made::{Made, Random};
use odin::data::NoiseKind;
use odin::{
    Classifier, ClassifierOptions, Detector, Grid, Image, Images, Method, Normalization, Sweep,
};
use std::fs;
use std::path::PathBuf;

/// Scores sets at every setting of a grid
#[derive(Parser)]
struct Args {
    /// The trained network
    #[arg(long)]
    nn: PathBuf,
    /// Mean of each channel [default: what the file says]
    #[arg(long, value_delimiter = ',')]
    mean: Vec<f32>,
    /// Standard deviation of each channel
    #[arg(long, value_delimiter = ',')]
    std: Vec<f32>,
    /// The in-distribution set, images in folders of their classes or an array
    #[arg(long)]
    in_dataset: PathBuf,
    /// Labels of an array, one a line
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Out-of-distribution sets
    #[arg(long)]
    out_dataset: Vec<PathBuf>,
    /// Images of each of these at most, from the first
    #[arg(long, default_value_t = 400)]
    n_out: usize,
    /// Images of each kind of noise
    #[arg(long, default_value_t = 200)]
    n_noise: usize,
    /// Pairs of images that are mixed
    #[arg(long, default_value_t = 700)]
    n_pairs: usize,
    /// The kinds of sets to make
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "uniform,shuffle,blend,jigsaw,halves,zoom,flip"
    )]
    made: Vec<String>,
    /// Temperatures [default: the paper's ten]
    #[arg(long, value_delimiter = ',')]
    temperatures: Vec<f64>,
    /// Magnitudes [default: the paper's 21]
    #[arg(long, value_delimiter = ',')]
    magnitudes: Vec<f64>,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the arrays go
    #[arg(short, long)]
    out: PathBuf,
}

/// Scores that need no fit, beside those of the grid.
const OTHERS: [Method; 5] = [
    Method::Msp,
    Method::Energy,
    Method::MaxLogit,
    Method::Gen,
    Method::Entropy,
];

fn main() -> Result<()> {
    let args = Args::parse();
    fs::create_dir_all(&args.out)?;
    let classifier = match args.mean.is_empty() {
        true => Classifier::open(&args.nn, ClassifierOptions::default())?,
        false => Classifier::open(&args.nn, Normalization::new(&args.mean, &args.std)?)?,
    };
    let paper = Grid::paper();
    let or = |given: &[f64], usual: &[f64]| match given.is_empty() {
        true => usual.to_vec(),
        false => given.to_vec(),
    };
    let grid = Grid::new(
        &or(&args.temperatures, paper.temperatures()),
        &or(&args.magnitudes, paper.magnitudes()),
    )?;
    let settings = grid.settings();
    let builder = Detector::builder(&classifier).threads(args.threads);
    let fitted = builder.clone().fit(&OTHERS, None, |_| {})?;
    let sweep = builder.fitted(fitted).sweep(&settings)?;
    let of_setting = |s: &odin::Setting| vec![s.temperature, s.magnitude];
    let pairs: Vec<Vec<f64>> = settings.iter().map(of_setting).collect();
    npy::write(&args.out.join("settings.npy"), &pairs)?;

    let run = Run {
        args: &args,
        classifier: &classifier,
        sweep,
    };
    let (images, labels) = run.in_set()?;
    run.write("labels", &[labels])?;
    run.score("in", &images)?;
    for path in &args.out_dataset {
        let images = decoded(&classifier.open_images(path)?.range(0..args.n_out))?;
        let name = path.file_stem().context("a set without a name")?;
        run.score(&format!("out-{}", name.to_string_lossy()), &images)?;
    }
    let noisy = |kind, seed| decoded(&classifier.noise(kind, args.n_noise, seed)?);
    run.score("out-Uniform", &noisy(NoiseKind::Uniform, args.seed)?)?;
    run.score("out-Gaussian", &noisy(NoiseKind::Gaussian, args.seed)?)?;
    run.score("made-uniform", &noisy(NoiseKind::Uniform, args.seed + 1)?)?;

    let mut random = Random(args.seed);
    let shuffled: Vec<Image> = images
        .iter()
        .map(|i| made::shuffle(i, &mut random))
        .collect();
    let tiled: Vec<Image> = images
        .iter()
        .map(|i| made::jigsaw(i, &mut random))
        .collect();
    let pairs = random.pairs(images.len(), args.n_pairs);
    let as_numbers = pairs.iter().map(|&(a, b)| vec![a as f64, b as f64]);
    run.write("pairs", &as_numbers.collect::<Vec<_>>())?;
    let mixed = |mix: fn(&Image, &Image) -> Image| -> Vec<Image> {
        let of = |&(a, b): &(usize, usize)| mix(&images[a], &images[b]);
        pairs.iter().map(of).collect()
    };
    run.score("made-shuffle", &shuffled)?;
    run.score("made-blend", &mixed(made::blend))?;
    run.score("made-jigsaw", &tiled)?;
    run.score("made-halves", &mixed(made::halves))?;
    run.score(
        "made-zoom",
        &images.iter().map(made::zoom).collect::<Vec<_>>(),
    )?;
    run.score(
        "made-flip",
        &images.iter().map(made::flip).collect::<Vec<_>>(),
    )
}

fn decoded(images: &Images) -> Result<Vec<Image>> {
    (0..images.len())
        .map(|i| Ok(images.get(i)?.image))
        .collect()
}

struct Run<'a> {
    args: &'a Args,
    classifier: &'a Classifier,
    sweep: Sweep,
}

impl Run<'_> {
    fn in_set(&self) -> Result<(Vec<Image>, Vec<f64>)> {
        let set = self.classifier.open_images(&self.args.in_dataset)?;
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for i in 0..set.len() {
            let sample = set.get(i)?;
            images.push(sample.image);
            labels.extend(sample.label.map(|label| label as f64));
        }
        if let Some(path) = &self.args.labels {
            let text = fs::read_to_string(path)?;
            labels = text.lines().map(str::parse).collect::<Result<_, _>>()?;
        }
        match labels.len() == images.len() {
            true => Ok((images, labels)),
            false => bail!("{} labels of {} images", labels.len(), images.len()),
        }
    }

    /// Unless an earlier run has, or nobody asked for it.
    fn score(&self, name: &str, images: &[Image]) -> Result<()> {
        let unwanted = |kind| !self.args.made.iter().any(|made| made == kind);
        let is_unwanted = name.strip_prefix("made-").is_some_and(unwanted);
        if is_unwanted || self.args.out.join(format!("{name}.others.npy")).exists() {
            return Ok(());
        }
        let started = std::time::Instant::now();
        let set = Made {
            name: name.to_string(),
            images: images.to_vec(),
        };
        let set = self.classifier.prepared_images(set);
        let scores = self.sweep.score_set(&set, |_| {})?;
        self.write(name, &scores.odin)?;
        self.write(&format!("{name}.others"), &scores.others)?;
        let (count, seconds) = (images.len(), started.elapsed().as_secs_f64());
        eprintln!(
            "{}: {name}: {count} images, {seconds:.1} s",
            self.args.out.display()
        );
        Ok(())
    }

    fn write(&self, name: &str, rows: &[Vec<f64>]) -> Result<()> {
        npy::write(&self.args.out.join(format!("{name}.npy")), rows)
    }
}
