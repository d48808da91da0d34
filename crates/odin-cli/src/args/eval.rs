//! The options of `odin eval`.

use super::shared::{
    Format, Magnitude, MetricsArg, NnOption, PrecisionOption, ReportOptions, RunOptions,
    ScoreOptions, SplitArg, positive, temperature,
};
use clap::Args;
use std::path::PathBuf;

/// Measures how well the baseline (MSP) and ODIN tell out-of-distribution images from
/// in-distribution ones.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin eval --nn densenet10.pth --in-dataset cifar-10-python.tar.gz --out-dataset Imagenet.tar.gz
  odin eval --nn net.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \\
            --in-dataset test/ --out-dataset other/ --out-dataset Uniform --ci
  odin eval --nn net.onnx --in-dataset test/ --out-dataset other/ --score all --fit-on train/
  odin eval --nn net.onnx --in-dataset test/ --out-dataset other/ --format json --scores scores/
  odin eval --nn net.onnx --in-dataset test/ --out-dataset other/ --ci --report out.html
  odin eval --nn net.onnx --in-dataset test/ --out-dataset other/ --gpu 0

High scores mean in-distribution, which is the positive class. Data goes to standard output,
everything else to standard error.")]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) nn: NnOption,

    /// The in-distribution set: a path (image folder, tar, list, CIFAR, npy, idx) or a registry name
    #[arg(long, alias = "in_dataset", value_name = "SPEC")]
    pub(crate) in_dataset: Option<String>,

    /// An out-of-distribution set, repeatable: a path, a registry name, Uniform, Gaussian, or
    /// `all` for the paper's seven
    #[arg(long, alias = "out_dataset", value_name = "SPEC")]
    pub(crate) out_dataset: Vec<String>,

    /// The temperature T [default: that of a compiled detector, or 1000]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = temperature)]
    pub(crate) temperature: Option<f64>,

    /// The magnitude ε of the perturbation on the [0, 1] pixel scale, or `paper` for what the
    /// paper recommends for this network and out-set [default: that of a compiled detector, or
    /// 0.0014]
    #[arg(long, value_name = "E|paper", allow_negative_numbers = true)]
    pub(crate) magnitude: Option<Magnitude>,

    #[command(flatten)]
    pub(crate) precision: PrecisionOption,

    /// The part of each set: of the paper's sets the first 1,000 images are `validation`, the
    /// rest `test`; sets that bring splits (MedMNIST) have their own [default: test for these and
    /// the paper's sets by name, all for others]
    #[arg(long, value_enum)]
    pub(crate) split: Option<SplitArg>,

    /// Use at most N images of each set, evenly over the classes; of the paper's sets the first
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
    pub(crate) report: ReportOptions,

    #[command(flatten)]
    pub(crate) scores_beside: ScoreOptions,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}
