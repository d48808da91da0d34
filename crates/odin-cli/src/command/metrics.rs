//! `odin metrics`: measures how well scores in files tell two kinds of images apart.

use super::scoring::intervals;
use crate::args::{Metrics, UsageError};
use crate::output::advice::told;
use crate::output::progress::say;
use crate::output::stdout::write_stdout;
use crate::resolve::score_file::{ScoreFile, common_name};
use anyhow::{Result, anyhow, bail};
use odin::{MeasureOptions, Measured, MetricsMode, measure};
use odin_error::first_shown;
use odin_metrics::PaperProtocol;
use odin_report::{FileMetrics, MetricsReport, ScoreColumn, ScoreMetrics};

pub(crate) fn run(args: &Metrics) -> Result<()> {
    let in_file = ScoreFile::resolve(&args.in_file)?;
    let out_files = args.out_files.iter().map(|path| ScoreFile::resolve(path));
    let out_files = out_files.collect::<Result<Vec<_>>>()?;
    let report = Measurement::new(args)?.run(in_file, &out_files)?;
    for warning in report.warnings() {
        say(&format!("warning: {warning}"));
    }
    write_stdout(&args.format.text(
        || report.to_table(),
        || report.to_json(),
        || report.to_csv(),
    ))
}

/// How scores are read and measured.
struct Measurement<'a> {
    args: &'a Metrics,
    mode: MetricsMode,
}

impl<'a> Measurement<'a> {
    fn new(args: &'a Metrics) -> Result<Self> {
        let mode = args.metrics.into();
        let unused = [
            ("--classes", args.classes.is_some()),
            ("--temperature", args.temperature.is_some()),
        ];
        let unused = unused.into_iter().find(|(_, given)| *given);
        if let (MetricsMode::Exact, Some((option, _))) = (mode, unused) {
            return Err(usage(format!(
                "{option}: only the thresholds of --metrics paper go by it; leave it out, or add --metrics paper"
            )));
        }
        Ok(Self { args, mode })
    }

    /// Reads the in-distribution file once for each score, however many others there are.
    fn run(&self, in_file: ScoreFile<'_>, out_files: &[ScoreFile<'_>]) -> Result<MetricsReport> {
        let args = self.args;
        let results = out_files.iter().map(|file| FileMetrics {
            out_file: file.to_string(),
            scores: Vec::new(),
        });
        let mut results: Vec<FileMetrics> = results.collect();
        for wanted in self.wanted(in_file, out_files)? {
            let wanted = wanted.as_deref();
            let (in_name, in_scores) = self.read(in_file, wanted)?;
            for (&out_file, result) in out_files.iter().zip(&mut results) {
                let (out_name, out_scores) = self.read(out_file, wanted)?;
                let names = [in_name.as_deref(), out_name.as_deref()];
                let score = common_name(wanted, (in_file, names[0]), (out_file, names[1]))?;
                let measured = self.measure(&score, &in_scores.scores, &out_scores.scores)?;
                let measured = ScoreMetrics::new(&score, &in_scores, &out_scores, measured);
                result.scores.push(measured);
            }
        }
        Ok(MetricsReport {
            in_file: in_file.to_string(),
            mode: self.mode,
            classes: args.classes,
            temperature: args.temperature,
            negated: args.negate,
            seed: args.seed,
            results,
        })
    }

    /// The names of the scores to read: those that the arguments name, or else all that all files
    /// have; `None` is the usual score of numpy's files.
    fn wanted(
        &self,
        in_file: ScoreFile<'_>,
        out_files: &[ScoreFile<'_>],
    ) -> Result<Vec<Option<String>>> {
        if !self.args.scores.is_empty() {
            return Ok(named(&self.args.scores));
        }
        let files = || std::iter::once(&in_file).chain(out_files);
        let names = files().map(|file| file.score_names());
        let names: Option<Vec<Vec<String>>> = names.collect::<Result<_>>()?;
        let Some(names) = names else {
            return Ok(vec![None]);
        };
        let in_all = |name: &&String| names.iter().all(|others| others.contains(name));
        let common: Vec<String> = names
            .iter()
            .take(1)
            .flatten()
            .filter(in_all)
            .cloned()
            .collect();
        if common.is_empty() {
            let of_file = |(file, names): (&ScoreFile<'_>, &Vec<String>)| match &names[..] {
                [] => format!("{file} has none"),
                _ => {
                    let names = first_shown(names.iter().map(String::as_str));
                    format!("{file} has {}", names.join(", "))
                }
            };
            let scores: Vec<String> = files().zip(&names).map(of_file).collect();
            bail!("no score is in all files: {}", scores.join("; "));
        }
        Ok(common.into_iter().map(Some).collect())
    }

    fn read(
        &self,
        file: ScoreFile<'_>,
        wanted: Option<&str>,
    ) -> Result<(Option<String>, ScoreColumn)> {
        let read = file.read(wanted);
        // A column is taken for a score until it is read.
        let by_default = wanted.is_some() && self.args.scores.is_empty();
        let (name, mut column) = match by_default {
            true => {
                read.map_err(|e| anyhow!("{}; --score measures only what it names", told(&e)))?
            }
            false => read?,
        };
        if self.args.negate {
            column.scores.iter_mut().for_each(|score| *score = -*score);
        }
        Ok((name, column))
    }

    fn measure(&self, score: &str, in_scores: &[f64], out_scores: &[f64]) -> Result<Measured> {
        let intervals = self.args.ci.then(|| intervals(self.args.seed, None));
        let options = MeasureOptions::default().intervals(intervals);
        let options = match self.mode {
            MetricsMode::Exact => options,
            MetricsMode::Paper => options.paper(self.protocol(score)?),
        };
        Ok(measure(in_scores, out_scores, &options)?)
    }

    /// The paper's thresholds for a score of this name.
    fn protocol(&self, score: &str) -> Result<PaperProtocol> {
        let missing = |option: &str, what: &str| {
            usage(format!(
                "--metrics paper: the paper's thresholds of {score} go by {what}; give {option}"
            ))
        };
        let classes = || {
            let classes = self.args.classes;
            classes.ok_or_else(|| missing("--classes", "the number of classes of the network"))
        };
        let temperature = || {
            let temperature = self.args.temperature;
            temperature.ok_or_else(|| missing("--temperature", "the temperature of the scores"))
        };
        Ok(match score {
            "msp" => PaperProtocol::baseline(classes()?),
            "odin" => PaperProtocol::odin(classes()?, temperature()?),
            _ => PaperProtocol::other(),
        })
    }
}

/// Each name once, in their order.
fn named(scores: &[String]) -> Vec<Option<String>> {
    let mut names: Vec<Option<String>> = Vec::new();
    for name in scores.iter().map(|name| Some(name.trim().to_string())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn usage(problem: String) -> anyhow::Error {
    UsageError(problem).into()
}
