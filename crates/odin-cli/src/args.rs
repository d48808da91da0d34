//! The command line as typed values.

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
  odin eval --nn net.pth --in-dataset cifar10/ --out-dataset photos/
  odin list                                          the names it knows
  odin fetch cifar10 Imagenet                        get what they stand for
  odin eval --help                                   all options of the evaluation

Exit codes: 0 success, 1 failure, 2 wrong usage."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure how well the baseline (MSP) and ODIN tell out-of-distribution images apart
    Eval(Box<Eval>),
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
    pub(crate) format: ListFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Table,
    Json,
}

/// Measures how well the baseline (MSP) and ODIN tell out-of-distribution images from
/// in-distribution ones.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  odin eval --nn densenet10.pth --in-dataset cifar-10-python.tar.gz --out-dataset Imagenet.tar.gz
  odin eval --nn net.pth --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\
            --in-dataset test/ --out-dataset other/ --out-dataset Uniform --ci
  odin eval --nn net.pth --in-dataset test/ --out-dataset other/ --format json --scores scores/

High scores mean in-distribution, which is the positive class. Data goes to standard output,
everything else to standard error.")]
pub(crate) struct Eval {
    /// The trained network: a PyTorch checkpoint or safetensors file, or a registry name
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) nn: String,

    /// The in-distribution set: a path (image folder, tar, CIFAR, npy, idx) or a registry name
    #[arg(long, alias = "in_dataset", value_name = "SPEC")]
    pub(crate) in_dataset: Option<String>,

    /// An out-of-distribution set, repeatable: a path, a registry name, Uniform, Gaussian, or
    /// `all` for the paper's seven
    #[arg(long, alias = "out_dataset", value_name = "SPEC", required = true)]
    pub(crate) out_dataset: Vec<String>,

    /// The temperature T
    #[arg(
        long,
        default_value_t = 1000.0,
        value_name = "T",
        allow_negative_numbers = true
    )]
    pub(crate) temperature: f64,

    /// The magnitude ε of the perturbation on the [0, 1] pixel scale, or `paper` for what the
    /// paper recommends for this network and out-set
    #[arg(
        long,
        default_value = "0.0014",
        value_name = "E|paper",
        allow_negative_numbers = true
    )]
    pub(crate) magnitude: Magnitude,

    /// The part of each set: of the paper's sets the first 1,000 images are `validation`, the
    /// rest `test` [default: test for the paper's sets by name, all for paths]
    #[arg(long, value_enum)]
    pub(crate) split: Option<SplitArg>,

    /// Use at most the first N images of each set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,

    /// `exact`, or `paper` for the procedure behind the paper's tables
    #[arg(long, value_enum, default_value = "exact")]
    pub(crate) metrics: MetricsArg,

    /// Print 95 % confidence intervals (1,000 bootstrap resamples)
    #[arg(long)]
    pub(crate) ci: bool,

    /// The mean of each channel that the network's inputs are normalised with, on the [0, 1]
    /// scale [default: that of the registry entry, or of the paper's CIFAR models]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B,C",
        requires = "std",
        allow_negative_numbers = true
    )]
    pub(crate) mean: Vec<f32>,

    /// The standard deviation of each channel, likewise
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B,C",
        requires = "mean",
        allow_negative_numbers = true
    )]
    pub(crate) std: Vec<f32>,

    /// The size of the network's images where it is not the usual one, such as 64 or 48x64
    /// (height x width) [default: 32, or 224 for ImageNet stems]
    #[arg(long, value_name = "H[xW]")]
    pub(crate) image_size: Option<ImageSize>,

    /// Transform every image, such as resize:32:bicubic,centre-crop:32 (nothing unless asked)
    #[arg(long, value_name = "STEPS")]
    pub(crate) transform: Option<odin_data::Transform>,

    /// Images read at a time; the scores do not depend on it
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) batch_size: usize,

    /// Images worked on at once [default: the available cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,

    /// Where noise, random crops and resampling start from
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,

    /// How to print the results
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,

    /// Write one CSV per set with the scores of every image
    #[arg(long, value_name = "DIR")]
    pub(crate) scores: Option<PathBuf>,

    /// Where registry names are looked for
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// Registry file with more names, repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) registry: Vec<PathBuf>,

    /// Never download (evaluation never does; accepted for scripts)
    #[arg(long)]
    pub(crate) offline: bool,

    /// Leave out images that do not decode, counting and naming them
    #[arg(long)]
    pub(crate) skip_bad: bool,

    /// Say nothing on standard error but errors
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Not in this build: the network runs on the CPU (see --threads)
    #[arg(long, value_name = "N")]
    pub(crate) gpu: Option<String>,
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
            _ => match text.parse() {
                Ok(e) if f64::is_finite(e) && e >= 0.0 => Ok(Magnitude::Fixed(e)),
                _ => Err("expected a finite number from 0, or `paper`".to_string()),
            },
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
