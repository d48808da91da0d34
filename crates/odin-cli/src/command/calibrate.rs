//! `odin calibrate`.

use super::scoring::score;
use crate::args::{Calibrate, SplitArg, UsageError};
use crate::output::atomic::check_is_not_model;
use crate::output::progress::say;
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Selection, Spec, in_spec};
use crate::resolve::scores::Scores;
use crate::resolve::{device, network, registry};
use anyhow::{Result, bail};
use odin::{
    CalibratedDetector, CalibrationOptions, Classifier, DetectorRecord, Setting, ThresholdRule,
    Tuned, minimum_images,
};
use odin_report::CalibrationReport;
use std::path::Path;

pub(crate) fn run(args: &Calibrate) -> Result<()> {
    let device = device::chosen(&args.run.compute.device)?;
    let rule = rule(args);
    check_out(args)?;
    let registry = registry::open(&args.run.network.registry)?;
    let classifier = network::open(
        &args.nn.name,
        &args.run.network,
        args.run.transform.as_ref(),
        &registry,
    )?;
    let setting = setting(args, &classifier)?;
    let mut selection = Selection::new(&args.run, &classifier, args.split, args.limit);
    selection.preferred = SplitArg::Validation;
    let in_dataset = args.in_dataset.as_deref();
    let in_spec = in_spec(&args.nn.name, in_dataset, &selection, &registry)?;
    let out_spec = args.out_dataset.as_deref();
    let out_spec = out_spec.map(|name| Spec::resolve(name, "--out-dataset", &selection, &registry));
    let (out_spec, skip_bad) = (out_spec.transpose()?, args.run.skip_bad);
    let in_set = OpenSet::open(in_spec, &selection, 10_000, skip_bad)?;
    let noise = Spec::noise_count(&selection, in_set.images.len());
    let out_set = out_spec.map(|spec| OpenSet::open(spec, &selection, noise, skip_bad));
    let out_set = out_set.transpose()?;
    check_is_not_model(&args.out, Path::new(&classifier.file().name))?;

    let scores = Scores::new(
        &args.scores_beside,
        &args.run,
        &classifier,
        &selection,
        &registry,
    )?;
    let quiet = args.run.quiet.on;
    let builder = device::builder(&classifier, &args.run.compute).setting(setting);
    let builder = scores.add_to(builder).free_scores()?;
    let detector = device::build(builder, device, &args.run.compute.device)?;
    if !quiet {
        network::announce(&classifier, false);
        network::announce_setting(setting, &classifier, false);
        device::announce(&detector, &classifier, false);
        for set in std::iter::once(&in_set).chain(&out_set) {
            set.announce(&selection);
        }
    }
    let scored = |set: &OpenSet| score(&detector, &set.images, &args.run);
    let in_scored = scored(&in_set)?;
    let out_scored = out_set.as_ref().map(scored).transpose()?;

    let options = CalibrationOptions::default()
        .scores(scores.names().to_vec())
        .target_tpr(args.tpr)
        .rule(rule)
        .per_class(args.per_class);
    let out_scored = out_scored.as_ref();
    let accuracy = in_scored.accuracy(&classifier);
    let mut calibrated = options.calibrate(detector, &in_scored, out_scored)?;
    tell_replaced(&args.out, quiet);
    calibrated.save(&args.out)?;
    warn(args, &calibrated)?;
    let record = calibrated.record();
    let report = CalibrationReport::new(&args.out, record, accuracy, &in_scored, out_scored)?;
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}

/// The setting that was tuned, or that the options name.
fn setting(args: &Calibrate, classifier: &Classifier) -> Result<Setting> {
    let Some(path) = &args.tuned else {
        return network::setting(&args.setting, classifier);
    };
    let tuned = Tuned::open(path)?;
    tuned.check_model(classifier)?;
    if !args.run.quiet.on {
        say(&format!(
            "{}: {}, tuned on {} against {}",
            path.display(),
            tuned.setting,
            tuned.in_dataset,
            tuned.tuned_on
        ));
    }
    Ok(tuned.setting)
}

fn rule(args: &Calibrate) -> ThresholdRule {
    match (args.fpr, args.lowest_error) {
        (Some(fpr), _) => ThresholdRule::Fpr(fpr),
        (None, true) => ThresholdRule::DetectionError,
        (None, false) => ThresholdRule::Tpr(args.tpr),
    }
}

/// The file must be a new one or a detector.
fn check_out(args: &Calibrate) -> Result<()> {
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
    Ok(())
}

/// Says what is written over.
fn tell_replaced(out: &Path, quiet: bool) {
    if let (Ok(old), false) = (DetectorRecord::open(out), quiet) {
        say(&format!(
            "{} is replaced: it was calibrated on {} ({} images) at {}",
            out.display(),
            old.images.in_dataset,
            old.images.in_images,
            old.setting
        ));
    }
}

/// What a person should know before trusting the threshold.
fn warn(args: &Calibrate, calibrated: &CalibratedDetector) -> Result<()> {
    let images = calibrated.record().images.in_images;
    match minimum_images(args.tpr)? {
        Some(minimum) if images < minimum => say(&format!(
            "warning: {images} images are too few for a true-positive rate of {}: from {minimum} on, the threshold has a 95 % confidence interval",
            args.tpr
        )),
        Some(_) => {}
        None => say(
            "warning: no number of images establishes a threshold that keeps all in-distribution images; ask for 0.999 or less",
        ),
    }
    Ok(())
}
