//! `odin score`.

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
use odin_report::{ScoreFormat, ScoreRecord, ScoreValues, ScoreWriter};
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
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    scored: usize,
    rejected: usize,
    failed: usize,
}

impl Tally {
    fn count(&mut self, record: &ScoreRecord) {
        match &record.outcome {
            Ok(values) => {
                self.scored += 1;
                self.rejected += usize::from(!values.is_in_distribution);
            }
            Err(_) => self.failed += 1,
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

    /// Scores the images from the `done`-th on.
    fn score(&self, done: usize, mut each: impl FnMut(ScoreRecord) -> Result<()>) -> Result<()> {
        let positions = self.inputs.positions().get(done..).unwrap_or(&[]);
        let total = positions.len();
        let images = Images::all(self.inputs.set()).these(positions.to_vec());
        let mut meter = Meter::new("scoring", self.args.quiet.on);
        let mut count = 0;
        self.detector
            .score_stream(&images, self.saved.magnitude, |row| {
                each(self.record(row)?)?;
                count += 1;
                meter.update(Progress::new(count, total));
                Ok::<(), anyhow::Error>(())
            })
    }

    fn record(&self, row: Result<Row, Skipped>) -> Result<ScoreRecord> {
        let Row { name, score, .. } = match row {
            Ok(row) => row,
            Err(Skipped { name, reason, .. }) => {
                let outcome = Err(reason);
                return Ok(ScoreRecord {
                    file: name,
                    outcome,
                });
            }
        };
        let judgement = self.saved.judge(&score, &self.others)?;
        let mut scores = vec![score.msp, score.odin];
        scores.extend(&score.others);
        let class = self.classifier.class_names();
        Ok(ScoreRecord {
            file: name,
            outcome: Ok(ScoreValues {
                prediction: score.prediction,
                class: class.and_then(|names| names.get(score.prediction).cloned()),
                scores,
                percentile: judgement.percentile,
                p_value: judgement.p_value,
                is_in_distribution: judgement.is_in_distribution,
            }),
        })
    }

    fn to_stdout(&self, format: Option<ScoreFormat>) -> Result<()> {
        let mut tally = Tally::default();
        let Some(format) = format else {
            self.score(0, |record| {
                tally.count(&record);
                write_stdout(&self.text(&record)?)
            })?;
            return self.conclude(tally);
        };
        let out = BufWriter::new(Stdout::new());
        let mut writer = ScoreWriter::new(out, format, &self.columns())?;
        self.score(0, |record| {
            tally.count(&record);
            Ok(writer.write(&record)?)
        })?;
        writer.finish().context("cannot write to standard output")?;
        self.conclude(tally)
    }

    /// A line for people.
    fn text(&self, record: &ScoreRecord) -> Result<String> {
        let file = &record.file;
        let values = match &record.outcome {
            Ok(values) => values,
            Err(error) => return Ok(format!("{file}: {error}\n")),
        };
        let deciding = self.saved.deciding()?;
        let place = self
            .columns()
            .iter()
            .position(|name| *name == deciding.name);
        let score = place.and_then(|place| values.scores.get(place)).copied();
        let score = score.context("the score that decides was not computed")?;
        let Judgement {
            threshold,
            percentile,
            p_value,
            is_in_distribution,
            ..
        } = deciding.judge(score, values.prediction);
        let class = match &values.class {
            Some(name) => name.clone(),
            None => format!("class {}", values.prediction),
        };
        let (decision, sign) = match is_in_distribution {
            true => ("in-distribution", ">="),
            false => ("OUT-OF-DISTRIBUTION", "<"),
        };
        Ok(format!(
            "{file}: {decision}; {} {score} {sign} {threshold}, higher than {percentile:.1} % of in-distribution images, p = {p_value:.4}; would be {class}\n",
            deciding.name
        ))
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
        self.score(done, |record| journal.add(&record))?;
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
        } = tally;
        if !self.args.quiet.on && scored + failed > 1 {
            let share = 100.0 * rejected as f64 / scored.max(1) as f64;
            say(&format!(
                "{scored} images scored, {rejected} of them ({share:.1} %) out-of-distribution"
            ));
        }
        if failed > 0 && !self.args.quiet.on && scored + failed > 1 {
            say(&format!("{failed} images have an error instead of a score"));
        }
        match (scored, failed) {
            (0, 1..) => bail!("no image could be scored"),
            _ => Ok(()),
        }
    }
}
