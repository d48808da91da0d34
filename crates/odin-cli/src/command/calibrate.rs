//! `odin calibrate`: finds the threshold and writes the calibrated detector.

use super::scoring::score;
use crate::args::{Calibrate, ScoreOptions, SplitArg, UsageError};
use crate::output::atomic::Output;
use crate::output::progress::say;
use crate::output::report_files::ReportFiles;
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::OpenSet;
use crate::resolve::setup::Setup;
use anyhow::{Result, bail};
use odin::{CalibrationOptions, DetectorBuilder, DetectorRecord, ThresholdRule, Tuned};
use odin_report::{CalibrationReport, ComputedIn, counted};
use std::path::Path;

pub(crate) fn run(args: &Calibrate, again: &str) -> Result<()> {
    let rule = rule(args);
    let out = check_out(args)?;
    let mut setup = Setup::new(&args.nn, &args.run)?;
    setup.selection.split = args.split;
    setup.selection.limit = args.limit;
    setup.selection.preferred = SplitArg::Validation;
    let tuned = tuned(args, &setup)?;
    let setting = match &tuned {
        Some(tuned) if tuned.score.is_none() => tuned.setting,
        Some(tuned) => {
            let setting = setup.setting(&args.setting)?;
            setting.with_precision(tuned.setting.precision)
        }
        None => setup.setting(&args.setting)?,
    };
    let scores_beside = with_tuned(&args.scores_beside, tuned.as_ref())?;
    let in_spec = setup.in_spec(args.in_dataset.as_deref())?;
    let out_spec = args.out_dataset.as_deref();
    let out_spec = out_spec.map(|name| setup.spec(name, "--out-dataset"));
    let out_spec = out_spec.transpose()?;
    let in_set = setup.open(in_spec, 10_000)?;
    let out_set = out_spec.map(|spec| setup.open(spec, in_set.images.len()));
    let out_set = out_set.transpose()?;
    let classifier = &setup.classifier;
    let mut sources = setup.sources(&scores_beside);
    sources.extend(
        [&in_set]
            .into_iter()
            .chain(&out_set)
            .filter_map(|set| set.source()),
    );
    sources.extend(
        args.tuned
            .iter()
            .map(|file| ("the setting of --tuned", file.clone())),
    );
    out.is_none_of(&sources)?;
    let files = ReportFiles::new(&args.report, &sources, args.run.quiet.on)?;

    let scores = setup.scores(&scores_beside, setting.precision)?;
    let builder = scores.add_to(setup.builder().setting(setting));
    let builder = builder.odin(scores.names().iter().any(|name| name == "odin"));
    let detector = setup.prepare(builder.free_scores()?, DetectorBuilder::build)?;
    let sets = [&in_set].into_iter().chain(&out_set);
    setup.announce(Some(setting), Some(&detector), sets);
    let scored = |set: &OpenSet| score(&detector, &set.images, &args.run);
    let in_scored = scored(&in_set)?;
    let out_scored = out_set.as_ref().map(scored).transpose()?;

    setup.tell_cache();
    let options = CalibrationOptions::default()
        .scores(scores.names().to_vec())
        .target_tpr(args.tpr)
        .rule(rule)
        .per_class(args.per_class);
    let out_scored = out_scored.as_ref();
    let accuracy = in_scored.accuracy(classifier);
    let calibrated = options.calibrate(detector, &in_scored, out_scored)?;
    tell_replaced(&args.out, args.run.quiet.on);
    let record = calibrated.save(&args.out)?;
    let warnings = calibrated.detector().warnings();
    let report = CalibrationReport::new(
        &args.out,
        &record,
        ComputedIn::from(calibrated.detector()),
        accuracy,
        &in_scored,
        out_scored,
    )?
    .of_scores(warnings);
    for warning in report.warnings() {
        say(&format!("warning: {warning}"));
    }
    files.write(|| report.to_html(again), || report.plots())?;
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}

/// What was tuned for this network.
fn tuned(args: &Calibrate, setup: &Setup<'_>) -> Result<Option<Tuned>> {
    let Some(path) = &args.tuned else {
        return Ok(None);
    };
    let tuned = Tuned::open(path)?;
    tuned.check_model(&setup.classifier)?;
    if !args.run.quiet.on {
        let what = match &tuned.score {
            Some(score) => score.clone(),
            None => tuned.setting.to_string(),
        };
        say(&format!(
            "{}: {what}, tuned on {} against {}",
            path.display(),
            tuned.in_dataset,
            tuned.tuned_on
        ));
    }
    setup.check_precision(tuned.setting.precision)?;
    Ok(Some(tuned))
}

/// The scores asked for, that which was tuned with its parameters: the only one where none is
/// named.
fn with_tuned(asked_for: &ScoreOptions, tuned: Option<&Tuned>) -> Result<ScoreOptions> {
    let mut options = asked_for.clone();
    let Some(score) = tuned.and_then(|tuned| tuned.score.as_ref()) else {
        return Ok(options);
    };
    let name = |text: &str| {
        text.split(':')
            .next()
            .unwrap_or_default()
            .trim()
            .to_string()
    };
    let own = options
        .scores
        .iter()
        .position(|text| name(text) == name(score));
    match own {
        Some(place) => options.scores[place].clone_from(score),
        None if options.scores.is_empty() => options.scores.push(score.clone()),
        None => {
            let problem = format!(
                "--tuned: the file tunes {score}, which --score does not name; name {}, or leave out --score",
                name(score)
            );
            return Err(UsageError(problem).into());
        }
    }
    Ok(options)
}

fn rule(args: &Calibrate) -> ThresholdRule {
    match (args.fpr, args.lowest_error) {
        (Some(fpr), _) => ThresholdRule::Fpr(fpr),
        (None, true) => ThresholdRule::DetectionError,
        (None, false) => ThresholdRule::Tpr(args.tpr),
    }
}

/// The file must be a new one or a detector.
fn check_out(args: &Calibrate) -> Result<Output> {
    let out = &args.out;
    if out.extension().is_none_or(|extension| extension != "toml") {
        let problem = format!("--out: {} must end in .toml", out.display());
        return Err(UsageError(problem).into());
    }
    if out.is_file() && DetectorRecord::open(out).is_err() {
        bail!(
            "--out: {} is there and is no detector; remove it, or name another file",
            out.display()
        );
    }
    Output::new(out, "--out")
}

/// Says what is written over.
fn tell_replaced(out: &Path, quiet: bool) {
    if let (Ok(old), false) = (DetectorRecord::open(out), quiet) {
        say(&format!(
            "{} is replaced: it was calibrated on {} ({}) at {}",
            out.display(),
            old.images.in_dataset,
            counted(old.images.in_images, "image"),
            old.setting
        ));
    }
}
