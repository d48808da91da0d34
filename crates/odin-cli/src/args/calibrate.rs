//! The options of `odin calibrate`.

use super::shared::{
    FormatOption, NnOption, ReportOptions, RunOptions, ScoreOptions, SettingOptions, SplitArg,
    positive, share,
};
use clap::Args;
use std::path::PathBuf;

/// Finds the threshold that separates in- from out-of-distribution images, from in-distribution
/// images alone, with its confidence interval, and writes everything that `odin score` needs as one
/// detector.toml.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin calibrate --nn densenet10.pth --in-dataset cifar10 -o detector.toml
  odin calibrate --nn net.onnx --in-dataset photos/ --tpr 0.99 --magnitude 0.002 -o detector.toml
  odin calibrate --nn net.onnx --in-dataset photos/ --out-dataset other/ --fpr 0.05 -o d.toml
  odin calibrate --nn net.onnx --in-dataset photos/ --score vim,odin --fit-on train/ -o d.toml

The images must not be those that the network was trained on: it is too sure of these. The first of
--score decides (odin, unless named otherwise). docs/calibration.md tells what a threshold
promises and how many images it takes.")]
pub(crate) struct Calibrate {
    #[command(flatten)]
    pub(crate) nn: NnOption,

    /// In-distribution images: a path (image folder, tar, list, CIFAR, npy, idx) or a registry name
    #[arg(long, alias = "in_dataset", value_name = "SPEC")]
    pub(crate) in_dataset: Option<String>,

    /// Out-of-distribution images, to measure the threshold's false-positive rate or to choose it
    /// by
    #[arg(long, alias = "out_dataset", value_name = "SPEC")]
    pub(crate) out_dataset: Option<String>,

    /// The share of in-distribution images that the threshold keeps
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    pub(crate) tpr: f64,

    /// Choose the threshold that keeps most while at most this share of the out-of-distribution
    /// images passes
    #[arg(long, value_name = "SHARE", requires = "out_dataset", value_parser = share)]
    pub(crate) fpr: Option<f64>,

    /// Choose the threshold of the lowest detection error, which is that of the largest Youden's J
    #[arg(long, requires = "out_dataset", conflicts_with = "fpr")]
    pub(crate) lowest_error: bool,

    /// Choose a threshold for each predicted class with enough images; the others get that of all
    #[arg(long, conflicts_with_all = ["fpr", "lowest_error"])]
    pub(crate) per_class: bool,

    #[command(flatten)]
    pub(crate) setting: SettingOptions,

    /// The setting, or the parameters of a score, that `odin tune -o tuned.toml` chose
    #[arg(long, value_name = "FILE", conflicts_with_all = ["temperature", "magnitude", "precision"])]
    pub(crate) tuned: Option<PathBuf>,

    /// The part of each set [default: validation for the paper's sets by name and for sets that
    /// bring such a split (MedMNIST), all for others]
    #[arg(long, value_enum)]
    pub(crate) split: Option<SplitArg>,

    /// Use at most N images of each set, evenly over the classes; of the paper's sets the first
    #[arg(long, value_name = "N", value_parser = positive::<u64>)]
    pub(crate) limit: Option<u64>,

    /// The file to write, such as detector.toml
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: PathBuf,

    #[command(flatten)]
    pub(crate) format: FormatOption,

    #[command(flatten)]
    pub(crate) report: ReportOptions,

    #[command(flatten)]
    pub(crate) scores_beside: ScoreOptions,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}
