//! The options of `odin metrics`.

use super::shared::{Format, MetricsArg, positive, temperature};
use clap::Args;
use std::path::PathBuf;

/// Measures how well scores that are in files already tell out-of-distribution images from
/// in-distribution ones, whichever program computed them: FPR at 95 % TPR, detection error, AUROC,
/// AUPR-In, AUPR-Out.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin metrics scores/in.csv scores/near.csv scores/far.csv
  odin metrics val.parquet photos.parquet --score energy,odin --ci --format json
  odin metrics openood/cifar10.npz openood/svhn.npz openood/dtd.npz
  odin metrics id.npy ood.npy --negate
  odin metrics scores/in.csv scores/near.csv --metrics paper --classes 10 --temperature 1000

The files are those that `odin score` and `odin eval --scores` write, any CSV, JSON lines or Parquet
with a column of scores, or arrays of numpy, such as the .npz that OpenOOD saves (docs/score_files.md).
Images without a score are counted and left out. High scores mean in-distribution, which is the
positive class; tools in which they mean out-of-distribution, such as pytorch-ood, need --negate
(docs/metrics.md).

Exit codes: 0 measured; 1 failure; 2 wrong usage.")]
pub(crate) struct Metrics {
    /// The scores of in-distribution images: .csv, .jsonl (.json, .ndjson), .parquet, .npz or .npy
    #[arg(value_name = "IN")]
    pub(crate) in_file: PathBuf,

    /// The scores of out-of-distribution images, in one of the same formats
    #[arg(value_name = "OUT", required = true)]
    pub(crate) out_files: Vec<PathBuf>,

    /// The scores to measure, columns or arrays [default: all that all files have; of an .npz
    /// conf, or else its only vector of floats]
    #[arg(long = "score", value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) scores: Vec<String>,

    /// High scores mean out-of-distribution in these files: measure the negated ones
    #[arg(long)]
    pub(crate) negate: bool,

    /// `exact`, or `paper` for the procedure behind the paper's tables
    #[arg(long, value_enum, default_value = "exact")]
    pub(crate) metrics: MetricsArg,

    /// The number of classes of the network, by which the paper's thresholds of msp and odin go
    #[arg(long, value_name = "N", value_parser = positive::<usize>)]
    pub(crate) classes: Option<usize>,

    /// The temperature T of the scores, by which the paper's thresholds of odin go
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = temperature)]
    pub(crate) temperature: Option<f64>,

    /// Print 95 % confidence intervals (1,000 bootstrap resamples)
    #[arg(long)]
    pub(crate) ci: bool,

    /// The seed of bootstrap resampling
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,

    /// How to print the results
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}
