//! `odin drift`: compares the scores of two periods.

use crate::args::{Drift, UsageError};
use crate::output::atomic::SourceFile;
use crate::output::progress::say;
use crate::output::report_files::ReportFiles;
use crate::output::stdout::write_stdout;
use crate::resolve::score_file::{ScoreFile, common_name};
use anyhow::Result;
use odin::DetectorRecord;
use odin_report::{DriftReport, Rejection, ScoreColumn};

/// Something has moved, and `--fail-on-drift` asked for a code that says so.
const MOVED: u8 = 3;

pub(crate) fn run(args: &Drift, again: &str) -> Result<u8> {
    let files = report_files(args)?;
    let reference_file = ScoreFile::resolve(&args.reference)?;
    let new_file = ScoreFile::resolve(&args.new)?;
    let detector = args.detector.as_deref().map(DetectorRecord::open);
    let detector = detector.transpose()?;
    let wanted = wanted(args, detector.as_ref())?;
    let (old_name, reference) = reference_file.read(wanted.as_deref())?;
    let (new_name, new) = new_file.read(wanted.as_deref())?;
    let score = common_name(
        wanted.as_deref(),
        (reference_file, old_name.as_deref()),
        (new_file, new_name.as_deref()),
    )?;
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
    files.write(|| report.to_html(again), || report.plots())?;
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))?;
    Ok(match args.fail_on_drift && report.moved() {
        true => MOVED,
        false => crate::SUCCESS,
    })
}

/// The page and the plots; nothing that is read may be written over.
fn report_files(args: &Drift) -> Result<ReportFiles> {
    let scores = [&args.reference, &args.new].map(|file| ("a file of scores", file.clone()));
    let detector = args.detector.iter();
    let detector = detector.map(|file| ("the detector", file.clone()));
    let sources: Vec<SourceFile> = scores.into_iter().chain(detector).collect();
    ReportFiles::new(&args.report, &sources, false)
}

/// A threshold is for the score that it was found with, so a detector names the score, too.
fn wanted(args: &Drift, detector: Option<&DetectorRecord>) -> Result<Option<String>> {
    Ok(match (&args.score, detector) {
        (Some(score), _) => Some(score.clone()),
        (None, Some(detector)) => Some(detector.deciding()?.name.clone()),
        (None, None) => None,
    })
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
