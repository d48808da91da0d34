//! The options of `odin score`.

use super::shared::{ComputeOptions, PrecisionOfDetector, QuietOption};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Scores images and decides by a calibrated detector: prediction, scores, percentile among
/// in-distribution images, conformal p-value, decision.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin score --detector detector.toml photo.jpg
  odin score --detector detector.toml photos/ more.tar.gz -o scores.csv
  find /data -name '*.png' | odin score --detector detector.toml - -o scores.parquet
  odin score --detector detector.toml photos/ --shard 2/4 -o part2.csv --resume

Inputs are image files, folders, archives, arrays (npy, npz), and lists (.txt, or - for standard
input) that name an image file on each line, with its label behind it or not. Images that do not decode are rows with an error. A job
that was killed leaves FILE.part; with --resume it goes on from there. Shards go by the names of
images, so give the inputs alike on all machines.")]
pub(crate) struct Score {
    /// What `odin calibrate` wrote, a detector.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) detector: PathBuf,

    /// Images: files, folders, archives, lists
    #[arg(required = true, value_name = "IMAGES")]
    pub(crate) inputs: Vec<PathBuf>,

    /// Which of the detector's scores to compute, the first of which decides [default: all, as
    /// they were calibrated]
    #[arg(
        long = "score",
        alias = "detectors",
        value_delimiter = ',',
        value_name = "NAME,..."
    )]
    pub(crate) scores: Vec<String>,

    /// The model file, if it is no longer where the detector says
    #[arg(long, value_name = "FILE")]
    pub(crate) nn: Option<PathBuf>,

    /// The file to write: .csv, .jsonl or .parquet [default: standard output]
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// The output format [default: by the file's extension; on standard output csv, or text for a
    /// single image]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ScoreFormatArg>,

    /// Score part I of N only; N machines, each with its part, score all
    #[arg(long, value_name = "I/N", default_value_t = odin::Shard::WHOLE)]
    pub(crate) shard: odin::Shard,

    /// Resume an interrupted job of the same command
    #[arg(long, requires = "out")]
    pub(crate) resume: bool,

    #[command(flatten)]
    pub(crate) precision: PrecisionOfDetector,

    #[command(flatten)]
    pub(crate) quiet: QuietOption,

    #[command(flatten)]
    pub(crate) compute: ComputeOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScoreFormatArg {
    /// A line of text
    Text,
    Csv,
    /// A JSON object on each line
    #[value(alias = "json")]
    Jsonl,
    Parquet,
}
