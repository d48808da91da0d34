//! The options of `odin drift`.

use super::shared::{FormatOption, ReportOptions};
use clap::Args;
use std::path::PathBuf;

/// Tests for drift: whether the rejection rate or the distribution of the scores has changed from a
/// reference period of use to a new one.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin drift january.parquet february.parquet
  odin drift january.csv february.csv --detector detector.toml
  odin drift scores/in.csv scores/photos.csv --score msp --threshold 0.8 --format json
  odin drift openood/cifar10.npz openood/svhn.npz --threshold 0.8
  odin drift reference.jsonl today.jsonl --fail-on-drift || page-someone

The files are those that `odin score` and `odin eval --scores` write, or arrays of numpy, such as the
.npz that OpenOOD saves. Rejected is what they say is not in-distribution; where one of them has no
column is_in_distribution, --threshold or --detector must say. Images with errors are counted and left out. docs/drift.md tells what a verdict means.

Exit codes: 0 compared, whatever was found; 1 failure; 2 wrong usage; with --fail-on-drift, 3 when
something has moved.")]
pub(crate) struct Drift {
    /// The scores of the reference period: .csv, .jsonl (.json, .ndjson), .parquet, .npz or .npy
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: PathBuf,

    /// The scores of the new period, in one of the same formats
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,

    /// The score to compare, a column or an array [default: the one that --detector decides by, or
    /// that decided the files, or odin; of an .npz conf, or else its only vector of floats]
    #[arg(long, value_name = "NAME")]
    pub(crate) score: Option<String>,

    /// Images with a score below this are rejected; for files without is_in_distribution
    #[arg(
        long,
        value_name = "D",
        conflicts_with = "detector",
        allow_negative_numbers = true,
        value_parser = finite
    )]
    pub(crate) threshold: Option<f64>,

    /// A detector that `odin calibrate` wrote, for its threshold; for files without
    /// is_in_distribution
    #[arg(long, value_name = "FILE")]
    pub(crate) detector: Option<PathBuf>,

    /// The significance level: the probability that drift is reported without any change
    #[arg(long, value_name = "P", default_value_t = 0.01, value_parser = level)]
    pub(crate) level: f64,

    /// Exit with code 3 when drift is detected
    #[arg(long)]
    pub(crate) fail_on_drift: bool,

    #[command(flatten)]
    pub(crate) report: ReportOptions,

    #[command(flatten)]
    pub(crate) format: FormatOption,
}

fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "expected a finite number".to_string())
}

fn level(text: &str) -> Result<f64, String> {
    let level = text.parse().ok().filter(|p| *p > 0.0 && *p < 1.0);
    level.ok_or_else(|| "expected a probability between 0 and 1, such as 0.01".to_string())
}
