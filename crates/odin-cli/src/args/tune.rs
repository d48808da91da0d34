//! The options of `odin tune`.

use super::shared::{
    Format, NnOption, PrecisionOption, ReportOptions, RunOptions, ScoreOptions, magnitude,
    positive, temperature,
};
use clap::Args;
use std::path::PathBuf;

/// Chooses the temperature T and the magnitude ε on validation images: of the paper's sets the
/// first 1,000, of others 1,000 or half of them, evenly over the classes.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin tune --nn densenet10.pth --in-dataset cifar10 --tune-on iSUN --out-dataset all -o grid.csv
  odin tune --nn net.onnx --in-dataset photos/ --tune-on other/ -o tuned.toml
  odin tune --nn net.onnx --in-dataset photos/                    no out-of-distribution images
  odin tune --nn net.onnx --in-dataset photos/ --in-only=synthetic --magnitudes 0:0.01:21
  odin tune --nn net.onnx --in-dataset photos/ --transfer --out-dataset a/ --out-dataset b/
  odin tune --nn net.onnx --in-dataset photos/ --for adascale-a --fit-on train/ --tune-on other/

Beside grid.csv it writes grid-heat-map.svg, grid-against-temperature.svg and
grid-against-magnitude.svg. High scores mean in-distribution, which is the positive class.")]
pub(crate) struct Tune {
    #[command(flatten)]
    pub(crate) nn: NnOption,

    /// The in-distribution set: a path (image folder, tar, list, CIFAR, npy, idx) or a registry name
    #[arg(long, alias = "in_dataset", value_name = "SPEC")]
    pub(crate) in_dataset: Option<String>,

    /// The out-of-distribution set to tune on, as the paper does on iSUN
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["in_only", "transfer"])]
    pub(crate) tune_on: Option<String>,

    /// The rule without out-of-distribution images: `fixed` takes the paper's T = 1000 and ε =
    /// 0.0014, which no other rule was shown to beat (docs/tuning.md); `synthetic` tunes on sets
    /// made from the in-set (shuffled pixels, blends of two images, noise) with ε up to 0.002;
    /// `mean-score` takes the ε of the largest mean ODIN score at the largest T (Hsu et al. 2020)
    /// [default: fixed, or synthetic where a grid is given]
    #[arg(
        long,
        value_name = "RULE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "synthetic",
        conflicts_with = "transfer"
    )]
    pub(crate) in_only: Option<odin::InOnlyRule>,

    /// An out-of-distribution set on whose test images the choice is evaluated, repeatable: a path,
    /// a registry name, Uniform, Gaussian, or `all` for the paper's seven
    #[arg(long, alias = "out_dataset", value_name = "SPEC")]
    pub(crate) out_dataset: Vec<String>,

    /// Tune on each --out-dataset in turn and evaluate on all of them
    #[arg(long, requires = "out_dataset")]
    pub(crate) transfer: bool,

    /// The temperatures to try [default: 1,2,5,10,20,50,100,200,500,1000 as in the paper; 1000
    /// with --in-only]
    #[arg(long, value_delimiter = ',', value_name = "T,...", value_parser = temperature)]
    pub(crate) temperatures: Vec<f64>,

    /// The magnitudes to try, as a list or as START:END:COUNT [default: 0:0.004:21]
    #[arg(long, value_name = "E,...|A:B:N")]
    pub(crate) magnitudes: Option<Magnitudes>,

    #[command(flatten)]
    pub(crate) precision: PrecisionOption,

    /// Tune the parameters of this score instead of T and ε: its name, for the values that authors or
    /// benchmarks choose from (docs/tuning.md), or with others such as ash:pruned=0.5/0.7/0.9 or
    /// adascale-a:pmin=0.6:pmax=0.8/0.9; --fit-on names the training images of scores that are
    /// fitted. Without --tune-on, on sets made from the in-set
    #[arg(
        long = "for",
        value_name = "SCORE",
        value_parser = parameter_grid,
        conflicts_with_all = ["temperatures", "magnitudes", "transfer", "scores-beside-odin"]
    )]
    pub(crate) score_grid: Option<odin::ParameterGrid>,

    /// The objective: fpr95, auroc, detection-error, aupr-in or aupr-out [default: fpr95, or auroc
    /// with --in-only]
    #[arg(long, value_name = "METRIC")]
    pub(crate) objective: Option<odin::Objective>,

    /// Write the chosen setting here (.toml, for odin calibrate --tuned), or the whole grid (.csv or
    /// .json), and plots beside it
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Use at most N validation images and N test images of each set, evenly over the classes
    #[arg(long, value_name = "N", value_parser = positive::<u64>)]
    pub(crate) limit: Option<u64>,

    /// How to print the results
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) report: ReportOptions,

    #[command(flatten)]
    pub(crate) scores_beside: ScoreOptions,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}

fn parameter_grid(text: &str) -> Result<odin::ParameterGrid, String> {
    odin::ParameterGrid::read(text).map_err(|e| e.to_string())
}

/// A list of magnitudes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Magnitudes(pub(crate) Vec<f64>);

impl std::str::FromStr for Magnitudes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            [list] => list
                .split(',')
                .map(magnitude)
                .collect::<Result<_, _>>()
                .map(Self),
            [start, end, count] => range(magnitude(start)?, magnitude(end)?, count).map(Self),
            _ => Err("expected numbers such as 0,0.001,0.002, or START:END:COUNT".to_string()),
        }
    }
}

/// So many evenly spaced numbers, both ends included.
fn range(start: f64, end: f64, count: &str) -> Result<Vec<f64>, String> {
    let count = count.parse::<u32>().ok();
    let count = count.filter(|count| (2..=10_000).contains(count) && start < end);
    let last = count.ok_or_else(|| {
        "expected START:END:COUNT with START below END and 2 to 10000 values".to_string()
    })? - 1;
    // Decimal fractions such as 0.0014 shall come out as they are written.
    let tidy = |value: f64| format!("{value:.12}").parse().unwrap_or(value);
    let value = |i: u32| start + (end - start) * f64::from(i) / f64::from(last);
    Ok((0..=last).map(|i| tidy(value(i))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_lists_or_ranges() {
        let paper: Magnitudes = "0:0.004:21".parse().unwrap();
        assert_eq!(paper.0, odin::Grid::paper().magnitudes());
        let list: Magnitudes = "0.002,0".parse().unwrap();
        assert_eq!(list.0, [0.002, 0.0]);
        for text in [
            "", "a", "-1", "0:1", "0:1:1", "1:0:5", "0:1:5:6", "0:1:x", "0:inf:3",
        ] {
            assert!(text.parse::<Magnitudes>().is_err(), "{text}");
        }
    }
}
