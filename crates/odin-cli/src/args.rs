//! The command line as typed values.

mod calibrate;
mod drift;
mod score;
mod tune;

pub(crate) use calibrate::Calibrate;
pub(crate) use drift::Drift;
pub(crate) use score::{Score, ScoreFormatArg};
pub(crate) use tune::{InOnly, Tune};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A mistake in the arguments that only shows when they are put together; exit code 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Tells whether an image is unlike anything its classifier was trained on (ODIN, ICLR 2018).
///
/// Without a command: evaluates an embedded network on embedded images, to show what to expect.
#[derive(Debug, Parser)]
#[command(
    name = "odin",
    version,
    after_help = "\
Examples:
  odin                                               the demonstration
  odin eval --nn net.onnx --in-dataset test/ --out-dataset photos/
  odin tune --nn net.onnx --in-dataset val/          which temperature, which magnitude
  odin calibrate --nn net.onnx --in-dataset val/ -o detector.toml    which threshold
  odin score --detector detector.toml photo.jpg      is this image like the others?
  odin drift january.csv february.csv                has something changed?
  odin inspect net.onnx                              what a model is and costs
  odin compile --detector detector.toml -o d.onnx    all of it as one ONNX file
  odin fetch cifar10 Imagenet                        get what names stand for
  odin eval --help                                   all options of the evaluation

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 drift that odin drift was told to fail on."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure how well the baseline (MSP) and ODIN tell out-of-distribution images apart
    Eval(Box<Eval>),
    /// Choose the temperature and the magnitude
    Tune(Box<Tune>),
    /// Find the threshold, and write a detector that `odin score` uses
    Calibrate(Box<Calibrate>),
    /// Judge images by a calibrated detector
    Score(Box<Score>),
    /// Tell whether scores or rejections have moved from one period of use to another
    Drift(Drift),
    /// Show what a model is: inputs, operators, cost, normalisation
    Inspect(Inspect),
    /// Show the program that a network becomes, and where its time goes
    Explain(Explain),
    /// Write a model with ODIN built in as one ONNX file for any runtime
    Compile(Box<Compile>),
    /// Compare a compiled detector with the model it was made of
    Verify(Box<Verify>),
    /// Download data sets and networks that are known by name
    Fetch(Fetch),
    /// Show every known data set and network, its licence, and whether it is here
    List(List),
}

/// Downloads, verifies and, where needed, unpacks data sets and networks into the data folder.
/// What lies there already is only verified.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin fetch cifar10 Imagenet_resize
  odin fetch densenet10-dice --data-dir /big/disk

An interrupted download leaves a .part file and goes on from there next time. Proxies are taken
from the environment (https_proxy, no_proxy).")]
pub(crate) struct Fetch {
    /// Names as `odin list` shows them
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Where to put them
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// Registry file with more names, repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) registry: Vec<PathBuf>,

    /// Use no network: verify and unpack what is here
    #[arg(long)]
    pub(crate) offline: bool,

    /// Say nothing on standard error but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Shows every known data set and network, its licence, and whether it is here.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin list
  odin list --format json --data-dir /big/disk")]
pub(crate) struct List {
    /// Where to look
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// Registry file with more names, repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) registry: Vec<PathBuf>,

    /// How to print the list
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: TextFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    Table,
    Json,
}

/// How a model file is read: what it leaves open.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct NetworkOptions {
    /// A model.toml that says how images become the network's input [default: <stem>.toml or
    /// model.toml beside the model file, if there is one]
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub(crate) model_config: Option<PathBuf>,

    /// The mean of each channel that the network's inputs are normalised with, on the [0, 1]
    /// scale; one value stands for all [default: what model.toml, the file or the registry says,
    /// or else what is usual]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B,C",
        requires = "std",
        allow_negative_numbers = true,
        help_heading = "Network"
    )]
    pub(crate) mean: Vec<f32>,

    /// The standard deviation of each channel, likewise
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B,C",
        requires = "mean",
        allow_negative_numbers = true,
        help_heading = "Network"
    )]
    pub(crate) std: Vec<f32>,

    /// The size of the network's images where its file leaves it open, such as 64 or 48x64
    /// (height x width) [default for checkpoints: 32, or 224 for ImageNet stems]
    #[arg(long, value_name = "H[xW]", help_heading = "Network")]
    pub(crate) image_size: Option<ImageSize>,

    /// The order of the axes of an ONNX model's input: NCHW, NHWC, NCDHW (volumes), NCL,
    /// NLC (signals) or NF (vectors) [default: as its extents look]
    #[arg(long, value_name = "LAYOUT", help_heading = "Network")]
    pub(crate) layout: Option<odin::Layout>,

    /// The output of an ONNX model that holds the logits, where there are several
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(crate) output: Option<String>,

    /// Where registry names are looked for
    #[arg(
        long,
        value_name = "DIR",
        default_value = "data",
        help_heading = "Network"
    )]
    pub(crate) data_dir: PathBuf,

    /// Registry file with more names, repeatable
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub(crate) registry: Vec<PathBuf>,
}

/// How images are read and scored.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct RunOptions {
    /// Transform every image, such as resize:32:bicubic,centre-crop:32 [default: what the registry
    /// says of the set and model.toml of the model, or nothing]
    #[arg(long, value_name = "STEPS")]
    pub(crate) transform: Option<odin_data::Transform>,

    /// Images read at a time; the scores of the built-in engine do not depend on it
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = positive::<usize>)]
    pub(crate) batch_size: usize,

    /// Threads that work at once [default: the available cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,

    /// Where noise, random crops and resampling start from
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,

    /// Leave out images that do not decode, counting and naming them
    #[arg(long)]
    pub(crate) skip_bad: bool,

    /// Say nothing on standard error but errors
    #[arg(long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// Scores beside ODIN.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct DetectorsOptions {
    /// Other scores to compute beside the baseline and ODIN, such as energy,vim; `all` is all of
    /// them that can be computed here (docs/detectors.md tells what each is and needs)
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,...",
        help_heading = "Other detectors"
    )]
    pub(crate) detectors: Vec<String>,

    /// Images that the network was trained on, for the scores that are fitted: a path or a
    /// registry name
    #[arg(long, value_name = "SPEC", help_heading = "Other detectors")]
    pub(crate) fit_on: Option<String>,

    /// How many of them, evenly spread, at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50_000,
        value_parser = positive::<usize>,
        help_heading = "Other detectors"
    )]
    pub(crate) fit_images: usize,
}

/// Where networks run.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct DeviceOptions {
    /// Where the network runs: `cpu` is the built-in engine; `cpu-ort`, `cuda:N`, `tensorrt:N`,
    /// `rocm:N`, `openvino`, `coreml` and `directml:N` are ONNX Runtime, in builds that can load
    /// it
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cpu",
        help_heading = "Device"
    )]
    pub(crate) device: odin::Device,

    /// The same as --device cuda:N
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "device",
        help_heading = "Device"
    )]
    pub(crate) gpu: Option<u16>,

    /// The library of ONNX Runtime [default: what ORT_DYLIB_PATH names, or the loader finds, or
    /// the Python package onnxruntime brings]
    #[arg(long, value_name = "PATH", help_heading = "Device")]
    pub(crate) onnxruntime: Option<PathBuf>,
}

/// Shows what a model is: inputs and outputs, operators, parameters, cost, how images become its
/// input, and whether ODIN can be built into it.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin inspect resnet.onnx
  odin inspect densenet10.pth --format json")]
pub(crate) struct Inspect {
    /// An ONNX file, a PyTorch checkpoint or safetensors file, or a registry name
    #[arg(value_name = "FILE|NAME")]
    pub(crate) nn: String,

    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: TextFormat,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// Shows the program that a network with ODIN built in becomes on this machine's CPU: what is
/// computed together, shapes, arithmetic, bytes moved, and how long each step takes for an image
/// on one thread.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin explain --nn densenet10.pth
  odin explain --nn densenet10.pth --threads 2
  odin explain --nn resnet50.onnx --repetitions 3 --format json")]
pub(crate) struct Explain {
    /// The trained network: an ONNX file, a PyTorch checkpoint or safetensors file, or a registry
    /// name
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) nn: String,

    /// How often an image is run; each step counts at its fastest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,

    /// How many threads share the image
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) threads: u32,

    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: TextFormat,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// Writes a model with ODIN built into it as one ONNX file: forward pass, input gradient,
/// perturbation, second forward pass, scores. Any ONNX runtime executes it.
///
/// Its outputs are logits, prediction, msp, odin, and with a threshold is_in_distribution.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin compile --nn densenet10.pth -o detector.onnx
  odin compile --detector detector.toml -o detector.onnx      with its threshold
  odin compile --nn net.onnx --magnitude 0.002 --threshold 0.1004 --input pixels-u8 \\
               --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 -o detector.onnx

Inputs: pixels-u8 is `images`, uint8 [N, H, W, C]; pixels-f32 is `images`, float32 [N, C, H, W] in
[0, 1]; normalized is the model's own input. The magnitude is on the [0, 1] pixel scale always.")]
pub(crate) struct Compile {
    /// The trained network: an ONNX file, a PyTorch checkpoint or safetensors file, or a registry
    /// name; with --detector, where the model lies now
    #[arg(long, value_name = "FILE|NAME", required_unless_present = "detector")]
    pub(crate) nn: Option<String>,

    /// A calibrated detector that `odin calibrate` wrote: its model, temperature, magnitude and
    /// threshold are taken
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["temperature", "magnitude", "threshold"]
    )]
    pub(crate) detector: Option<PathBuf>,

    /// The temperature T [default: 1000]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = temperature)]
    pub(crate) temperature: Option<f64>,

    /// The magnitude ε of the perturbation on the [0, 1] pixel scale [default: 0.0014]
    #[arg(long, value_name = "E", allow_negative_numbers = true, value_parser = magnitude)]
    pub(crate) magnitude: Option<f64>,

    /// Add the output is_in_distribution: whether the ODIN score reaches this
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f64>,

    /// What the file takes: pixels-u8, pixels-f32 or normalized [default: normalized for ONNX
    /// models, pixels-f32 for others]
    #[arg(long, value_name = "KIND")]
    pub(crate) input: Option<odin::DetectorInput>,

    /// The file to write
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Say nothing on standard error but errors
    #[arg(long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// Runs a compiled detector and the model that it was made of on the same images, and reports
/// the largest differences. Exit code 1 when they differ by more than the tolerance.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin verify detector.onnx --nn densenet10.pth
  odin verify detector.onnx --nn net.onnx --images photos/ --count 200 --transform resize:32x32
  odin verify detector.onnx --nn net.onnx --device cpu-ort

The options that describe the network must be those that it was compiled with. --device is for the
model; the detector runs by the built-in engine.")]
pub(crate) struct Verify {
    /// The compiled detector
    #[arg(value_name = "DETECTOR")]
    pub(crate) detector: PathBuf,

    /// The network that it was made of
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) nn: String,

    /// A set of images: a path, a registry name, Uniform or Gaussian; or `random`, which is
    /// Uniform
    #[arg(long, value_name = "SPEC", default_value = "random")]
    pub(crate) images: String,

    /// How many images, at most
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = positive::<u64>)]
    pub(crate) count: u64,

    /// Where random images start from
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,

    /// The largest difference allowed: of logits relative to the largest of them (at least 1), of
    /// MSP as it is, of ODIN scores multiplied by T like that of logits
    #[arg(long, default_value_t = 0.001, value_name = "X")]
    pub(crate) tolerance: f64,

    /// Transform every image, such as resize:32:bicubic,centre-crop:32
    #[arg(long, value_name = "STEPS")]
    pub(crate) transform: Option<odin_data::Transform>,

    /// Threads that work at once [default: the available cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,

    /// How to print the differences
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: TextFormat,

    /// Say nothing on standard error but errors
    #[arg(long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// Measures how well the baseline (MSP) and ODIN tell out-of-distribution images from
/// in-distribution ones.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin eval --nn densenet10.pth --in-dataset cifar-10-python.tar.gz --out-dataset Imagenet.tar.gz
  odin eval --nn net.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\
            --in-dataset test/ --out-dataset other/ --out-dataset Uniform --ci
  odin eval --nn net.onnx --in-dataset test/ --out-dataset other/ --format json --scores scores/
  odin eval --nn net.onnx --in-dataset test/ --out-dataset other/ --gpu 0

High scores mean in-distribution, which is the positive class. Data goes to standard output,
everything else to standard error.")]
pub(crate) struct Eval {
    /// The trained network: an ONNX file, a PyTorch checkpoint or safetensors file, a registry
    /// name, or a detector that `odin compile` wrote, of which the network, temperature and
    /// magnitude are used
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) nn: String,

    /// The in-distribution set: a path (image folder, tar, CIFAR, npy, idx) or a registry name
    #[arg(long, alias = "in_dataset", value_name = "SPEC")]
    pub(crate) in_dataset: Option<String>,

    /// An out-of-distribution set, repeatable: a path, a registry name, Uniform, Gaussian, or
    /// `all` for the paper's seven
    #[arg(long, alias = "out_dataset", value_name = "SPEC", required = true)]
    pub(crate) out_dataset: Vec<String>,

    /// The temperature T [default: that of a compiled detector, or 1000]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = temperature)]
    pub(crate) temperature: Option<f64>,

    /// The magnitude ε of the perturbation on the [0, 1] pixel scale, or `paper` for what the
    /// paper recommends for this network and out-set [default: that of a compiled detector, or
    /// 0.0014]
    #[arg(long, value_name = "E|paper", allow_negative_numbers = true)]
    pub(crate) magnitude: Option<Magnitude>,

    /// The part of each set: of the paper's sets the first 1,000 images are `validation`, the
    /// rest `test` [default: test for the paper's sets by name, all for others]
    #[arg(long, value_enum)]
    pub(crate) split: Option<SplitArg>,

    /// Use at most the first N images of each set
    #[arg(long, value_name = "N", value_parser = positive::<u64>)]
    pub(crate) limit: Option<u64>,

    /// `exact`, or `paper` for the procedure behind the paper's tables
    #[arg(long, value_enum, default_value = "exact")]
    pub(crate) metrics: MetricsArg,

    /// Print 95 % confidence intervals (1,000 bootstrap resamples)
    #[arg(long)]
    pub(crate) ci: bool,

    /// How to print the results
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,

    /// Write one CSV per set with the scores of every image
    #[arg(long, value_name = "DIR")]
    pub(crate) scores: Option<PathBuf>,

    /// Never download (evaluation never does; accepted for scripts)
    #[arg(long)]
    pub(crate) offline: bool,

    #[command(flatten)]
    pub(crate) detectors: DetectorsOptions,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}

/// A whole number from 1.
fn positive<N: std::str::FromStr + PartialOrd + From<u8>>(text: &str) -> Result<N, String> {
    let number = text.parse().ok().filter(|number| *number >= N::from(1));
    number.ok_or_else(|| "expected a whole number from 1".to_string())
}

/// More threads than any machine has cores are a slip of the hand, and take minutes to start.
const MAX_THREADS: usize = 1024;

fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok();
    let threads = threads.filter(|threads| (1..=MAX_THREADS).contains(threads));
    threads.ok_or_else(|| format!("expected a whole number from 1 to {MAX_THREADS}"))
}

/// The network computes with T as `f32`.
fn temperature(text: &str) -> Result<f64, String> {
    let in_f32 = |t: f64| (t as f32).is_finite() && t as f32 > 0.0;
    let temperature = text.parse().ok().filter(|t| in_f32(*t));
    temperature.ok_or_else(|| "expected a positive number, such as 1000".to_string())
}

fn magnitude(text: &str) -> Result<f64, String> {
    let magnitude = text
        .parse()
        .ok()
        .filter(|e| f64::is_finite(*e) && *e >= 0.0);
    magnitude.ok_or_else(|| "expected a finite number from 0".to_string())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "expected a share from 0 to 1, such as 0.95".to_string())
}

/// Height and width in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageSize {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl std::str::FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        match (height.parse(), width.parse()) {
            (Ok(height), Ok(width))
                if (1..=8192).contains(&height) && (1..=8192).contains(&width) =>
            {
                Ok(Self { height, width })
            }
            _ => Err("expected a size such as 64 or 48x64, from 1 to 8192".to_string()),
        }
    }
}

/// A number, or the paper's recommendation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Magnitude {
    Fixed(f64),
    Paper,
}

impl std::str::FromStr for Magnitude {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "paper" => Ok(Magnitude::Paper),
            _ => match magnitude(text) {
                Ok(magnitude) => Ok(Magnitude::Fixed(magnitude)),
                Err(expected) => Err(format!("{expected}, or `paper`")),
            },
        }
    }
}

impl std::fmt::Display for Magnitude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Magnitude::Fixed(magnitude) => write!(f, "{magnitude}"),
            Magnitude::Paper => f.write_str("paper"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitArg {
    Test,
    Validation,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricsArg {
    Exact,
    Paper,
}

impl From<MetricsArg> for odin::MetricsMode {
    fn from(arg: MetricsArg) -> Self {
        match arg {
            MetricsArg::Exact => odin::MetricsMode::Exact,
            MetricsArg::Paper => odin::MetricsMode::Paper,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Csv,
}
