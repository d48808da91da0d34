//! `odin drift`: compares the scores of two periods.

use crate::args::{Drift, UsageError};
use crate::output::progress::say;
use crate::output::stdout::write_stdout;
use anyhow::{Context, Result, bail};
use odin::DetectorRecord;
use odin_report::{DriftReport, Rejection, ScoreColumn, ScoreFormat, read_column};
use odin_untrusted::file::open_regular;
use std::path::Path;

/// Something has moved, and `--fail-on-drift` asked for a code that says so.
const MOVED: u8 = 3;

pub(crate) fn run(args: &Drift) -> Result<u8> {
    let formats = [format(&args.reference)?, format(&args.new)?];
    let detector = args.detector.as_deref().map(DetectorRecord::open);
    let detector = detector.transpose()?;
    let score = score(args, detector.as_ref())?;
    let reference = read(&args.reference, formats[0], &score)?;
    let new = read(&args.new, formats[1], &score)?;
    let report = DriftReport::new(
        &score,
        rejection(args, detector.as_ref(), &score, [&reference, &new])?,
        args.level,
        (&args.reference, &reference),
        (&args.new, &new),
    )?;
    for warning in report.warnings() {
        say(&format!("warning: {warning}"));
    }
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))?;
    Ok(match args.fail_on_drift && report.moved() {
        true => MOVED,
        false => crate::SUCCESS,
    })
}

fn format(path: &Path) -> Result<ScoreFormat> {
    let format = ScoreFormat::of(path);
    format.ok_or_else(|| {
        usage(format!(
            "{}: score files end in .csv, .jsonl (.json, .ndjson) or .parquet",
            path.display()
        ))
    })
}

/// A threshold is for the score that it was found with, so a detector names the score, too.
fn score(args: &Drift, detector: Option<&DetectorRecord>) -> Result<String> {
    Ok(match (&args.score, detector) {
        (Some(score), _) => score.clone(),
        (None, Some(detector)) => detector.deciding()?.name.clone(),
        (None, None) => "odin".to_string(),
    })
}

fn read(path: &Path, format: ScoreFormat, score: &str) -> Result<ScoreColumn> {
    let name = || path.display().to_string();
    let file = open_regular(path)?;
    let column = read_column(file, format, score).with_context(name)?;
    if column.scores.is_empty() {
        bail!(
            "{}: no image has the score {score} ({} have errors), so there is nothing to compare",
            name(),
            column.errors
        );
    }
    if let Some(place) = column.scores.iter().position(|score| !score.is_finite()) {
        bail!(
            "{}: the score {score} of image {} (of those with a score) is {}; scores must be finite",
            name(),
            place + 1,
            column.scores[place]
        );
    }
    Ok(column)
}

/// What the files say, which also knows thresholds that differ by class, or else a threshold.
fn rejection(
    args: &Drift,
    detector: Option<&DetectorRecord>,
    score: &str,
    files: [&ScoreColumn; 2],
) -> Result<Rejection> {
    if files.iter().all(|file| !file.decisions.is_empty()) {
        if args.threshold.is_some() {
            say("note: the files say what was rejected; --threshold is not used");
        }
        return Ok(Rejection::Decisions);
    }
    if let Some(threshold) = args.threshold {
        let detector = None;
        return Ok(Rejection::Threshold {
            threshold,
            detector,
        });
    }
    let (Some(detector), Some(path)) = (detector, &args.detector) else {
        return Err(usage(
            "nothing says which images were rejected: give files that both have the column is_in_distribution, as `odin score` writes them, or --threshold, or --detector".to_string(),
        ));
    };
    let path = path.display().to_string();
    let calibrated = detector.scores.iter().find(|saved| saved.name == score);
    let calibrated = calibrated.ok_or_else(|| {
        let names: Vec<&str> = detector.scores.iter().map(|s| s.name.as_str()).collect();
        usage(format!(
            "--detector: {path} has no threshold for {score}, only for {}; give --score or --threshold",
            names.join(", ")
        ))
    })?;
    if !calibrated.classes.is_empty() {
        say(&format!(
            "note: {path} has thresholds for each class; the files say nothing of what was rejected, so its threshold of all classes counts for all images"
        ));
    }
    Ok(Rejection::Threshold {
        threshold: calibrated.threshold,
        detector: Some(path),
    })
}

fn usage(problem: String) -> anyhow::Error {
    UsageError(problem).into()
}
