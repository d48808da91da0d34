//! `odin score`: judges images by a calibrated detector.

mod inputs;
mod journal;

use crate::args::{Score, ScoreFormatArg, UsageError};
use crate::output::atomic::Output;
use crate::output::progress::{Meter, say};
use crate::output::stdout::{Stdout, write_stdout};
use crate::resolve::{device, network};
use anyhow::{Context, Result, bail};
use inputs::Inputs;
use journal::{Heading, Journal};
use odin::{
    CalibratedDetector, Decision, Destination, DetectorCard, DetectorRecord, ErrorKind, ImageError,
    Layout, Progress, Verdict,
};
use odin_error::agree;
use odin_report::{
    DecidedBy, DecisionReport, ScoreFormat, ScoreRecord, ScoreValues, ScoreWriter,
    check_score_file, counted,
};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub(crate) fn run(args: &Score) -> Result<()> {
    let device = device::chosen(&args.compute.device)?;
    let format = format(args)?;
    refuse_compiled(&args.detector)?;
    if args.precision.given.is_some() {
        let record = DetectorRecord::open(&args.detector)?;
        network::check_precision(args.precision.given, &record, &args.detector)?;
    }
    let out = args.out.as_deref();
    let out = out.map(|path| Output::new(path, "--out")).transpose()?;
    let mut options = CalibratedDetector::options()
        .threads(device::threads(args.compute.threads))
        .batch_size(args.compute.batch_size)
        .scores(args.scores.iter().map(|name| name.trim()));
    if let Some(nn) = &args.nn {
        options = options.model(nn);
    }
    let (detector, _) = device::timed(device, args.quiet.on, || {
        device::open(options, device, &args.compute.device, &args.detector)
    })
    .map_err(|error| in_words(error, args))?;
    if let Some(out) = &out {
        let statistics = detector.record().statistics.as_ref();
        let statistics = statistics.map(|s| args.detector.with_file_name(&s.file));
        out.is_not("the detector", &args.detector)?;
        out.is_none_of(&network::model_sources(detector.classifier()))?;
        if let Some(statistics) = &statistics {
            out.is_not("what was fitted for the detector", statistics)?;
        }
    }
    let inputs = Inputs::open(
        &args.inputs,
        detector.classifier(),
        args.shard,
        out.as_ref(),
    )?;
    let job = Job {
        args,
        detector,
        inputs,
    };
    job.announce();
    let Some(out) = &out else {
        return job.to_stdout(format);
    };
    let format = format.unwrap_or(ScoreFormat::Csv);
    match out.destination() {
        Destination::File(file) => job.to_file(out, file, format),
        Destination::Stream(_) if args.resume => Err(UsageError(format!(
            "--resume: {} is no regular file, and nothing is left of what was written into it",
            out.path().display()
        ))
        .into()),
        Destination::Stream(_) => job.to_stream(out, format),
    }
}

/// A compiled detector has neither percentiles nor p-values to tell.
fn refuse_compiled(path: &Path) -> Result<()> {
    let is_onnx = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    if !is_onnx {
        return Ok(());
    }
    let what = match odin::CompiledDetector::open(path, 1) {
        Ok(compiled) => {
            let DetectorCard {
                setting, threshold, ..
            } = compiled.card();
            let threshold = match threshold {
                Some(threshold) => format!("threshold {threshold}"),
                None => "no threshold".to_string(),
            };
            format!(
                "a compiled detector ({setting}, {threshold}) for ONNX runtimes; `odin verify` runs it"
            )
        }
        Err(_) => "an ONNX file and no calibrated detector".to_string(),
    };
    Err(UsageError(format!(
        "--detector: {} is {what}; odin score takes the detector.toml that `odin calibrate` writes",
        path.display()
    ))
    .into())
}

/// A score that was not calibrated is a usage error.
fn in_words(error: anyhow::Error, args: &Score) -> anyhow::Error {
    let kind = error.downcast_ref::<odin::Error>().map(odin::Error::kind);
    match kind {
        Some(ErrorKind::Scores) if !args.scores.is_empty() => {
            UsageError(format!("--score: {error}")).into()
        }
        _ => error,
    }
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
    detector: CalibratedDetector,
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
        let count = self.inputs.images().len();
        let part = match self.args.shard {
            odin::Shard::WHOLE => String::new(),
            shard => format!(" (part {shard} of {})", self.inputs.all()),
        };
        say(&format!("{}{part}", counted(count, "image")));
        for note in self.inputs.notes() {
            say(note);
        }
    }

    /// The columns of scores.
    fn columns(&self) -> Vec<String> {
        self.detector.detector().score_names().to_vec()
    }

    /// Scores the images from the `done`-th on. `each` gets what was found of an image, and what
    /// was decided about it.
    fn score(
        &self,
        done: usize,
        mut each: impl FnMut(ScoreRecord, Option<Decision>) -> Result<()>,
    ) -> Result<()> {
        let images = self.inputs.images().range(done..usize::MAX);
        let mut meter = Meter::new("scoring", self.args.quiet.on);
        let mut of_other_size = false;
        for (count, verdict) in (1..).zip(self.detector.judge(&images)) {
            match verdict {
                Ok(verdict) => {
                    let decision = verdict.decision;
                    each(self.record(verdict), Some(decision))?;
                }
                // Later images would fail, too.
                Err(ImageError { name, error, .. }) if error.kind() == ErrorKind::Engine => {
                    return Err(error).context(name);
                }
                Err(ImageError { name, error, .. }) => {
                    of_other_size |= error.kind() == ErrorKind::Shape;
                    let (file, outcome) = (name, Err(error.to_string()));
                    each(ScoreRecord { file, outcome }, None)?;
                }
            }
            meter.update(Progress::new(count, images.len()));
        }
        drop(meter);
        if of_other_size && !self.args.quiet.on {
            self.say_how_to_resize();
        }
        Ok(())
    }

    /// A detector resizes what it was calibrated to resize, and nothing else.
    fn say_how_to_resize(&self) {
        if !matches!(
            self.detector.classifier().layout(),
            Layout::Nchw | Layout::Nhwc
        ) {
            return;
        }
        let [_, height, width] = self.detector.classifier().image_shape();
        let now = match self.detector.classifier().transform() {
            Some(transform) => format!("its transform is {transform}"),
            None => "it has no transform".to_string(),
        };
        say(&format!(
            "A detector resizes images only where it was calibrated to, and {now}: odin calibrate --transform resize:{height}x{width} makes one that takes images of any size."
        ));
    }

    fn record(&self, verdict: Verdict) -> ScoreRecord {
        let Verdict {
            name: file,
            score,
            decision,
            ..
        } = verdict;
        let class = self.detector.classifier().class_names();
        let values = ScoreValues {
            prediction: score.prediction,
            class: class.and_then(|names| names.get(score.prediction).cloned()),
            scores: score.values().to_vec(),
            percentile: decision.percentile,
            p_value: decision.p_value,
            is_in_distribution: decision.is_in_distribution,
        };
        let outcome = Ok(values);
        ScoreRecord { file, outcome }
    }

    fn to_stdout(&self, format: Option<ScoreFormat>) -> Result<()> {
        let mut tally = Tally::default();
        let Some(format) = format else {
            let score = &self.detector.record().deciding()?.name;
            self.score(0, |record, decision| {
                tally.count(&record);
                let report = DecisionReport {
                    record: &record,
                    decided_by: decision.map(|decision| DecidedBy {
                        score,
                        value: decision.score,
                        threshold: decision.threshold,
                    }),
                };
                write_stdout(&report.to_line())
            })?;
            return self.conclude(tally);
        };
        let mut out = Stdout::new();
        let written = self.write_to(BufWriter::new(&mut out), format);
        match written.map(|(_, tally)| tally) {
            Err(_) if out.is_unread() => Ok(()),
            tally => self.conclude(tally?),
        }
    }

    /// Scores into what keeps nothing of an earlier job, a pipe or a device.
    fn to_stream(&self, out: &Output, format: ScoreFormat) -> Result<()> {
        let (stream, tally) = self.write_to(BufWriter::new(out.create()?), format)?;
        stream.into_inner().map_err(|e| e.into_error())?.commit()?;
        self.conclude(tally)
    }

    fn write_to<W: Write + Send>(&self, out: W, format: ScoreFormat) -> Result<(W, Tally)> {
        let mut tally = Tally::default();
        let checksum = self.detector.record().checksum();
        let decided_by = &self.detector.record().deciding()?.name;
        let mut writer =
            ScoreWriter::of_detector(out, format, &self.columns(), &checksum, decided_by)?;
        self.score(0, |record, _| {
            tally.count(&record);
            Ok(writer.write(&record)?)
        })?;
        let out = writer.finish().context("cannot write the scores")?;
        Ok((out, tally))
    }

    /// Whether a finished file is what this job would write again; an error where it is of another
    /// job.
    fn check_finished(&self, file: &Path, format: ScoreFormat) -> Result<()> {
        let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let images = self.inputs.images();
        let names = (0..images.len()).map(|i| images.image_name(i));
        let checksum = self.detector.record().checksum();
        check_score_file(opened, format, &self.columns(), &checksum, names).with_context(|| {
            format!(
                "--resume: {} is finished, and not by this job; name another file, or leave --resume away to write it anew",
                file.display()
            )
        })
    }

    /// Scores into a journal, and makes the file of it when it is complete.
    fn to_file(&self, out: &Output, file: &Path, format: ScoreFormat) -> Result<()> {
        if self.args.resume && file.is_file() && !Journal::is_there(file) {
            self.check_finished(file, format)?;
            say(&format!(
                "{} is complete already; without --resume it is made anew",
                out.path().display()
            ));
            return Ok(());
        }
        let heading = Heading {
            detector: self.detector.record().checksum(),
            shard: self.args.shard.to_string(),
            device: self.detector.detector().device().to_string(),
            scores: self.columns(),
        };
        let images = self.inputs.images();
        let expected = |i: usize| match i < images.len() {
            true => images.image_name(i),
            false => String::new(),
        };
        let mut journal = Journal::open(file, heading, self.args.resume)?;
        let (done, damaged) = journal.check(expected, images.len())?;
        if let Some(line) = damaged {
            say(&format!(
                "warning: line {line} of {} is damaged; from there on the images are scored again",
                journal.path().display()
            ));
        }
        if done > 0 && !self.args.quiet.on {
            say(&format!(
                "{} {} done already",
                counted(done, "image"),
                agree(done, "is", "are")
            ));
        }
        self.score(done, |record, _| journal.add(&record))?;
        let mut tally = Tally::default();
        let decided_by = &self.detector.record().deciding()?.name;
        journal.finish(out, format, decided_by, expected, |record| {
            tally.count(record);
        })?;
        if !self.args.quiet.on {
            say(&format!("wrote {}", out.path().display()));
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
                "{} scored, {rejected} of them ({share:.1} %) out-of-distribution",
                counted(scored, "image")
            ));
            if failed > 0 {
                say(&format!(
                    "{} {} an error instead of a score",
                    counted(failed, "image"),
                    agree(failed, "has", "have")
                ));
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
