//! `odin score`: judges images by a calibrated detector.

mod inputs;
mod journal;

use crate::args::{Score, ScoreFormatArg, UsageError};
use crate::output::progress::{Meter, say};
use crate::output::stdout::{Stdout, write_stdout};
use crate::resolve::device;
use anyhow::{Context, Result, bail};
use inputs::Inputs;
use journal::{Heading, Journal};
use odin::{
    Classifier, Detector, Images, Judgement, Progress, Row, SavedDetector, Scorer, Skipped,
};
use odin_report::{DecidedBy, DecisionReport, ScoreFormat, ScoreRecord, ScoreValues, ScoreWriter};
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn run(args: &Score) -> Result<()> {
    let device = device::chosen(&args.compute.device)?;
    let format = format(args)?;
    let mut saved = SavedDetector::open(&args.detector)?;
    choose(&mut saved, &args.detectors)?;
    let folder = args.detector.parent().unwrap_or(Path::new(""));
    let classifier = saved.open_classifier(folder, args.nn.as_deref())?;
    let inputs = Inputs::open(&args.inputs, &classifier, args.shard)?;
    let scorers = saved.scorers(folder, &classifier)?.into_iter();
    let builder = device::builder(&classifier, &args.compute)
        .temperature(saved.temperature)
        .scorers(scorers.map(|fitted| Arc::new(fitted) as Arc<dyn Scorer>))
        .i_odin(saved.needs_i_odin());
    let detector = device::build(builder, device, &args.compute.device)?;
    let job = Job {
        args,
        saved,
        classifier: &classifier,
        others: detector.others(),
        detector,
        inputs,
    };
    job.announce();
    match &args.out {
        Some(out) => job.to_file(out, format.unwrap_or(ScoreFormat::Csv)),
        None => job.to_stdout(format),
    }
}

/// Keeps the scores that are named, in this order.
fn choose(saved: &mut SavedDetector, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let chosen = names.iter().map(|name| {
        let score = saved.scores.iter().find(|score| score.name == *name);
        score.cloned().ok_or_else(|| {
            let known: Vec<&str> = saved.scores.iter().map(|s| s.name.as_str()).collect();
            UsageError(format!(
                "--detectors: {name} was not calibrated; the detector has {}",
                known.join(", ")
            ))
        })
    });
    saved.scores = chosen.collect::<Result<_, UsageError>>()?;
    Ok(())
}

/// How scores are written; `None` for a line of text.
fn format(args: &Score) -> Result<Option<ScoreFormat>> {
    let asked_for = args.format.map(|format| match format {
        ScoreFormatArg::Text => None,
        ScoreFormatArg::Csv => Some(ScoreFormat::Csv),
        ScoreFormatArg::Jsonl => Some(ScoreFormat::JsonLines),
        ScoreFormatArg::Parquet => Some(ScoreFormat::Parquet),
    });
    let usage = |problem: String| Err(UsageError(problem).into());
    match (&args.out, asked_for) {
        (Some(_), Some(None)) => {
            usage("--format text is for standard output; leave --out away".into())
        }
        (None, Some(Some(ScoreFormat::Parquet))) => {
            usage("--format parquet needs a file; name it by --out".into())
        }
        (_, Some(format)) => Ok(format),
        (Some(out), None) => match ScoreFormat::of(out) {
            Some(format) => Ok(Some(format)),
            None => usage(format!(
                "--out: {} ends in neither .csv, .jsonl nor .parquet; --format says what to write",
                out.display()
            )),
        },
        (None, None) if is_single_image(args) => Ok(None),
        (None, None) => Ok(Some(ScoreFormat::Csv)),
    }
}

fn is_single_image(args: &Score) -> bool {
    matches!(&args.inputs[..], [only] if inputs::is_image(only))
}

struct Job<'a> {
    args: &'a Score,
    saved: SavedDetector,
    classifier: &'a Classifier,
    detector: Detector,
    /// The names of the scores beside ODIN and the baseline.
    others: Vec<String>,
    inputs: Inputs,
}

/// How many images have scores, and how many have none.
#[derive(Debug, Default)]
struct Tally {
    scored: usize,
    rejected: usize,
    failed: usize,
    /// The first image without a score, and the reason.
    first_failure: Option<String>,
}

impl Tally {
    fn count(&mut self, record: &ScoreRecord) {
        match &record.outcome {
            Ok(values) => {
                self.scored += 1;
                self.rejected += usize::from(!values.is_in_distribution);
            }
            Err(reason) => {
                self.failed += 1;
                let failure = || match reason.contains(&record.file) {
                    true => reason.clone(),
                    false => format!("{}: {reason}", record.file),
                };
                self.first_failure.get_or_insert_with(failure);
            }
        }
    }
}

impl Job<'_> {
    fn announce(&self) {
        if self.args.quiet.on || is_single_image(self.args) {
            return;
        }
        let count = self.inputs.positions().len();
        let part = match self.args.shard {
            odin::Shard::WHOLE => String::new(),
            shard => format!(" (part {shard} of {})", self.inputs.len()),
        };
        say(&format!("{count} images{part}"));
        for note in self.inputs.notes() {
            say(note);
        }
    }

    /// The columns of scores.
    fn columns(&self) -> Vec<String> {
        let mut columns = vec!["msp".to_string(), "odin".to_string()];
        columns.extend(self.others.iter().cloned());
        columns
    }

    /// Scores the images from the `done`-th on. `each` gets what was found of an image, and what
    /// decided about it.
    fn score(
        &self,
        done: usize,
        mut each: impl FnMut(ScoreRecord, Option<Judgement>) -> Result<()>,
    ) -> Result<()> {
        let positions = self.inputs.positions().get(done..).unwrap_or(&[]);
        let total = positions.len();
        let images = Images::all(self.inputs.set()).these(positions.to_vec());
        let mut meter = Meter::new("scoring", self.args.quiet.on);
        let mut count = 0;
        self.detector
            .score_stream(&images, self.saved.magnitude, |row| {
                let (record, judgement) = self.record(row)?;
                each(record, judgement)?;
                count += 1;
                meter.update(Progress::new(count, total));
                Ok::<(), anyhow::Error>(())
            })
    }

    fn record(&self, row: Result<Row, Skipped>) -> Result<(ScoreRecord, Option<Judgement>)> {
        let Row { name, score, .. } = match row {
            Ok(row) => row,
            Err(Skipped { name, reason, .. }) => {
                let (file, outcome) = (name, Err(reason));
                return Ok((ScoreRecord { file, outcome }, None));
            }
        };
        let judgement = self.saved.judge(&score, &self.others)?;
        let mut scores = vec![score.msp, score.odin];
        scores.extend(&score.others);
        let class = self.classifier.class_names();
        let values = ScoreValues {
            prediction: score.prediction,
            class: class.and_then(|names| names.get(score.prediction).cloned()),
            scores,
            percentile: judgement.percentile,
            p_value: judgement.p_value,
            is_in_distribution: judgement.is_in_distribution,
        };
        let (file, outcome) = (name, Ok(values));
        Ok((ScoreRecord { file, outcome }, Some(judgement)))
    }

    fn to_stdout(&self, format: Option<ScoreFormat>) -> Result<()> {
        let mut tally = Tally::default();
        let Some(format) = format else {
            let score = &self.saved.deciding()?.name;
            self.score(0, |record, judgement| {
                tally.count(&record);
                let report = DecisionReport {
                    record: &record,
                    decided_by: judgement.map(|judgement| DecidedBy {
                        score,
                        value: judgement.score,
                        threshold: judgement.threshold,
                    }),
                };
                write_stdout(&report.to_line())
            })?;
            return self.conclude(tally);
        };
        let out = BufWriter::new(Stdout::new());
        let mut writer = ScoreWriter::new(out, format, &self.columns())?;
        self.score(0, |record, _| {
            tally.count(&record);
            Ok(writer.write(&record)?)
        })?;
        writer.finish().context("cannot write to standard output")?;
        self.conclude(tally)
    }

    /// Scores into a journal, and makes the file of it when it is complete.
    fn to_file(&self, out: &Path, format: ScoreFormat) -> Result<()> {
        if self.args.resume && out.is_file() && !Journal::is_there(out) {
            say(&format!(
                "{} is complete already; without --resume it is made anew",
                out.display()
            ));
            return Ok(());
        }
        let heading = Heading {
            detector: self.saved.checksum(),
            shard: self.args.shard.to_string(),
            device: self.detector.device().to_string(),
            scores: self.columns(),
        };
        let expected = |i: usize| self.inputs.name(i);
        let mut journal = Journal::open(out, heading, self.args.resume)?;
        let done = journal.check(expected, self.inputs.positions().len())?;
        if done > 0 && !self.args.quiet.on {
            say(&format!("{done} images are done already"));
        }
        self.score(done, |record, _| journal.add(&record))?;
        let mut tally = Tally::default();
        journal.finish(out, format, |record| tally.count(record))?;
        if !self.args.quiet.on {
            say(&format!("wrote {}", out.display()));
        }
        self.conclude(tally)
    }

    fn conclude(&self, tally: Tally) -> Result<()> {
        let Tally {
            scored,
            rejected,
            failed,
            first_failure,
        } = tally;
        let several = scored + failed > 1;
        if several && !self.args.quiet.on {
            let share = 100.0 * rejected as f64 / scored.max(1) as f64;
            say(&format!(
                "{scored} images scored, {rejected} of them ({share:.1} %) out-of-distribution"
            ));
            if failed > 0 {
                say(&format!("{failed} images have an error instead of a score"));
            }
        }
        match first_failure {
            Some(failure) if scored == 0 => {
                let first = if several { "the first, " } else { "" };
                bail!("no image could be scored: {first}{failure}")
            }
            _ => Ok(()),
        }
    }
}
