//! Options that several commands share, and the parsers of their values.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// A usage error that shows only when arguments are combined; exit code 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    Table,
    Json,
}

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FormatOption {
    /// How to print the results
    #[arg(long, value_enum, default_value = "table")]
    format: TextFormat,
}

impl FormatOption {
    /// Formats the result as requested.
    pub(crate) fn text(
        self,
        table: impl FnOnce() -> String,
        json: impl FnOnce() -> String,
    ) -> String {
        match self.format {
            TextFormat::Table => table(),
            TextFormat::Json => json(),
        }
    }
}

/// Whether a command prints progress and remarks.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct QuietOption {
    /// Print nothing but errors on standard error
    #[arg(id = "quiet", long)]
    pub(crate) on: bool,
}

/// The network that a command works on.
#[derive(Debug, Clone, Args)]
pub(crate) struct NnOption {
    /// The trained network: an ONNX file, a PyTorch checkpoint or safetensors file, a registry
    /// name, or a detector that `odin compile` wrote, of which the network is used, and its
    /// temperature and magnitude unless others are given
    #[arg(id = "nn", long, value_name = "FILE|NAME")]
    pub(crate) name: String,
}

/// The setting of ODIN.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct SettingOptions {
    /// The temperature T [default: that of a compiled detector, or 1000]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = temperature)]
    pub(crate) temperature: Option<f64>,

    /// The magnitude ε of the perturbation on the [0, 1] pixel scale [default: that of a compiled
    /// detector, or 0.0014]
    #[arg(long, value_name = "E", allow_negative_numbers = true, value_parser = magnitude)]
    pub(crate) magnitude: Option<f64>,

    #[command(flatten)]
    pub(crate) precision: PrecisionOption,
}

/// The precision that the network computes in.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct PrecisionOption {
    /// The precision of the network's products: `exact` is float32; `fast` computes in bfloat16 what
    /// reaches the scores only through a sign or the predicted class, such as ODIN's gradient, and all
    /// else to nearly float32 (docs/precision.md) [default: that of a compiled detector, or exact]
    #[arg(id = "precision", long = "precision", value_name = "exact|fast")]
    pub(crate) given: Option<odin::Precision>,
}

/// The precision where a detector has its own.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct PrecisionOfDetector {
    /// The precision that the detector must have been calibrated in, exact or fast: it judges in no
    /// other [default: the detector's own]
    #[arg(id = "precision", long = "precision", value_name = "exact|fast")]
    pub(crate) given: Option<odin::Precision>,
}

/// The names that stand for data sets and networks.
#[derive(Debug, Clone, Args)]
pub(crate) struct RegistryOptions {
    /// The folder of the data sets and networks that the registry names
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// Registry file with more names, repeatable
    #[arg(id = "registry", long, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// How a model file is read: what it leaves open. They stand last in a command, since their heading
/// applies to all options that follow.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkOptions {
    /// A model.toml that says how images become the network's input [default: <stem>.toml or
    /// model.toml beside the model file, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) model_config: Option<PathBuf>,

    /// The mean of each channel that the network's inputs are normalised with, on the [0, 1] scale
    /// (but see --scale); one value stands for all [default: what model.toml, the file or the
    /// registry says, or else the usual ones]
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

    /// What a white pixel is before the mean is subtracted, 255 for a network that takes levels
    /// from 0 to 255; --mean and --std are on that scale [default: 1]
    #[arg(long, value_name = "WHITE", value_parser = scale)]
    pub(crate) scale: Option<f32>,

    /// The order of colours that the network takes: RGB or BGR; --mean and --std are in that order
    /// [default: RGB]
    #[arg(long, value_name = "ORDER")]
    pub(crate) channels: Option<odin::ChannelOrder>,

    /// The size of the network's images where its file leaves it open, such as 64 or 48x64
    /// (height x width) [default for checkpoints: 32, or 224 for ImageNet stems]
    #[arg(long, value_name = "H[xW]")]
    pub(crate) image_size: Option<ImageSize>,

    /// The order of the axes of an ONNX model's input: NCHW, NHWC, NCDHW (volumes), NCL, NLC
    /// (signals) or NF (vectors) [default: inferred from its extents]
    #[arg(long, value_name = "LAYOUT")]
    pub(crate) layout: Option<odin::Layout>,

    /// The output of an ONNX model that holds the logits, where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) output: Option<String>,

    /// Which weights of a checkpoint, where there are several: the key that they lie under, what
    /// their names begin with, or a word of one, such as ema [default: its state_dict or model]
    #[arg(long, value_name = "NAME")]
    pub(crate) weights: Option<String>,

    /// Whether the network is a multi-label one, whose classes are labels that do not exclude each
    /// other (trained with a sigmoid of each) [default: whether an ONNX file ends in a Sigmoid of
    /// several numbers]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) multi_label: Option<bool>,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// Batch size, threads and device.
#[derive(Debug, Clone, Args)]
pub(crate) struct ComputeOptions {
    /// Images read at a time; the scores of the built-in engine do not depend on it
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = positive::<usize>)]
    pub(crate) batch_size: usize,

    /// The number of threads [default: the available cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,
}

/// How images are read and scored.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    /// Transform every image, such as resize:32:bicubic,centre-crop:32 [default: what the registry
    /// says of the set and model.toml of the model, or nothing]
    #[arg(long, value_name = "STEPS")]
    pub(crate) transform: Option<odin_data::Transform>,

    /// The seed of noise, random crops and bootstrap resampling
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,

    /// Skip images that do not decode; they are counted and named
    #[arg(long)]
    pub(crate) skip_bad: bool,

    /// Keep what the network gives for each image in this folder, and run it for no image that is
    /// there: another run, with other scores, is then quick. The grid of `odin tune` is not kept
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) quiet: QuietOption,

    #[command(flatten)]
    pub(crate) compute: ComputeOptions,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// A page and plots of what a command found.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReportOptions {
    /// Write a page with plots (.html): one file that loads nothing, for browsers and for print
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Write each plot as SVG into this folder, and as PNG in builds with the feature png-plots
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
}

/// How many training images scores are fitted to at most, unless it is said.
pub(crate) const FIT_IMAGES: usize = 50_000;

/// Scores beside ODIN.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ScoreOptions {
    /// Other scores to compute beside the baseline and ODIN, such as energy,vim, with parameters
    /// such as knn:k=5; `all` is all of them that can be computed here (docs/detectors.md tells what
    /// each is and needs)
    #[arg(
        id = "scores-beside-odin",
        long = "score",
        alias = "detectors",
        value_delimiter = ',',
        value_name = "NAME,...",
        help_heading = "Other scores"
    )]
    pub(crate) scores: Vec<String>,

    /// Images that the network was trained on, for the scores that are fitted: a path or a
    /// registry name
    #[arg(long, value_name = "SPEC", help_heading = "Other scores")]
    pub(crate) fit_on: Option<String>,

    /// Use at most N of them, evenly over the classes
    #[arg(
        long,
        value_name = "N",
        default_value_t = FIT_IMAGES,
        value_parser = positive::<usize>,
        help_heading = "Other scores"
    )]
    pub(crate) fit_images: usize,
}

/// Where networks run. Only options with a heading of their own may follow.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Device")]
pub(crate) struct DeviceOptions {
    /// Where the network runs: `cpu` and, in builds that have it, `gpu:N` (Vulkan, Metal or
    /// DirectX 12) are the built-in engines; `cpu-ort`, `cuda:N`, `tensorrt:N`, `rocm:N`,
    /// `openvino`, `coreml` and `directml:N` are ONNX Runtime, in builds that can load it;
    /// `cpu-vulkan` is what `gpu` runs, on a Vulkan driver in software
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub(crate) device: odin::Device,

    /// The same as --device gpu:N
    #[arg(long, value_name = "N", conflicts_with = "device")]
    pub(crate) gpu: Option<u16>,

    /// The library of ONNX Runtime [default: what ORT_DYLIB_PATH names, or the loader finds, or
    /// the Python package onnxruntime brings]
    #[arg(long, value_name = "PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,

    /// Keep the engines that TensorRT builds in this folder, and build none for a network, batch size
    /// and versions whose engine is there. They are program code: a folder that you trust
    #[arg(long, value_name = "DIR")]
    pub(crate) engine_cache: Option<PathBuf>,
}

/// A whole number from 1.
pub(super) fn positive<N: std::str::FromStr + PartialOrd + From<u8>>(
    text: &str,
) -> Result<N, String> {
    let number = text.parse().ok().filter(|number| *number >= N::from(1));
    number.ok_or_else(|| "expected a whole number from 1".to_string())
}

pub(super) fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok();
    let threads = threads.filter(|threads| (1..=odin::MAX_THREADS).contains(threads));
    threads.ok_or_else(|| format!("expected a whole number from 1 to {}", odin::MAX_THREADS))
}

fn scale(text: &str) -> Result<f32, String> {
    let scale = text.parse().ok();
    let scale = scale.filter(|scale: &f32| scale.is_finite() && *scale > 0.0);
    scale.ok_or_else(|| "expected a positive number, such as 255".to_string())
}

pub(super) fn temperature(text: &str) -> Result<f64, String> {
    let in_range = |t: &f64| odin::Setting::new(*t, 0.0).is_ok();
    let temperature = text.parse().ok().filter(in_range);
    temperature.ok_or_else(|| "expected a positive number, such as 1000".to_string())
}

pub(super) fn magnitude(text: &str) -> Result<f64, String> {
    let in_range = |e: &f64| odin::Setting::new(1.0, *e).is_ok();
    let magnitude = text.parse().ok().filter(in_range);
    magnitude.ok_or_else(|| "expected a finite number from 0".to_string())
}

pub(super) fn share(text: &str) -> Result<f64, String> {
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

impl std::fmt::Display for ImageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
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
pub(crate) enum Format {
    Table,
    Json,
    Csv,
}

impl Format {
    /// Formats the result as requested.
    pub(crate) fn text(
        self,
        table: impl FnOnce() -> String,
        json: impl FnOnce() -> String,
        csv: impl FnOnce() -> String,
    ) -> String {
        match self {
            Format::Table => table(),
            Format::Json => json(),
            Format::Csv => csv(),
        }
    }
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
