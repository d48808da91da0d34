//! `odin calibrate`: finds the threshold and writes the calibrated detector.

use super::scoring::score;
use crate::args::{Calibrate, Magnitude, SplitArg, UsageError};
use crate::output::atomic::{self, check_is_not_model};
use crate::output::progress::say;
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::OpenSet;
use crate::resolve::network;
use crate::resolve::scores::Detectors;
use crate::resolve::setup::Setup;
use anyhow::{Context, Result};
use odin::{
    CalibrationOptions, DetectorBuilder, SavedDetector, Statistics, ThresholdRule, minimum_images,
    statistics_to_bytes,
};
use odin_report::CalibrationReport;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Calibrate) -> Result<()> {
    let rule = rule(args);
    check_out(&args.out)?;
    let mut setup = Setup::new(&args.nn, &args.run)?;
    setup.selection.split = args.split;
    setup.selection.limit = args.limit;
    setup.selection.preferred = SplitArg::Validation;
    let in_spec = setup.in_spec(args.in_dataset.as_deref())?;
    let out_spec = args.out_dataset.as_deref();
    let out_spec = out_spec.map(|name| setup.spec(name, "--out-dataset"));
    let out_spec = out_spec.transpose()?;
    let in_set = setup.open(in_spec, 10_000)?;
    let out_set = out_spec.map(|spec| setup.open(spec, in_set.range.len()));
    let out_set = out_set.transpose()?;
    let classifier = &setup.classifier;
    check_is_not_model(&args.out, Path::new(&classifier.file().name))?;

    let detectors = setup.detectors(&args.detectors)?;
    let temperature = setup.temperature(args.setting.temperature);
    let builder = detectors.add_to(setup.builder().temperature(temperature));
    let detector = setup.prepare(builder, DetectorBuilder::build)?;
    setup.announce(Some(&detector), [&in_set].into_iter().chain(&out_set))?;
    let magnitude = magnitude(args, &setup);
    let scored = |set: &OpenSet| score(&detector, set, magnitude, &args.run);
    let in_scored = scored(&in_set)?;
    let out_scored = out_set.as_ref().map(scored).transpose()?;

    let options = CalibrationOptions::default()
        .scores(detectors.names().to_vec())
        .target_tpr(args.tpr)
        .rule(rule)
        .per_class(args.per_class);
    let out_scored = out_scored.as_ref();
    let saved = options.calibrate(classifier, &detector, magnitude, &in_scored, out_scored)?;
    let saved = write(args, saved, &detectors)?;
    warn(args, &saved)?;
    let report = CalibrationReport::new(&args.out, &saved, &in_scored, out_scored)?;
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}

fn rule(args: &Calibrate) -> ThresholdRule {
    match (args.fpr, args.lowest_error) {
        (Some(fpr), _) => ThresholdRule::Fpr(fpr),
        (None, true) => ThresholdRule::DetectionError,
        (None, false) => ThresholdRule::Tpr(args.tpr),
    }
}

fn check_out(out: &Path) -> Result<()> {
    match out.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Ok(()),
        _ => Err(UsageError(format!("--out: {} must end in .toml", out.display())).into()),
    }
}

fn magnitude(args: &Calibrate, setup: &Setup<'_>) -> f64 {
    match setup.magnitude(args.setting.magnitude.map(Magnitude::Fixed)) {
        Magnitude::Fixed(magnitude) => magnitude,
        Magnitude::Paper => network::DEFAULT.magnitude,
    }
}

/// Writes the detector and, before it, what was fitted.
fn write(
    args: &Calibrate,
    mut saved: SavedDetector,
    detectors: &Detectors,
) -> Result<SavedDetector> {
    let folder = args.out.parent().unwrap_or(Path::new(""));
    saved.model.path = from_folder(folder, &saved.model.path)?;
    if let Some(transform) = &args.run.transform {
        saved.model.config.transform = Some(transform.clone());
    }
    let used = saved.scores.iter().map(|score| score.name.clone());
    let used: Vec<String> = used.collect();
    let fitted = detectors.fitted.iter().cloned();
    let fitted: Vec<_> = fitted
        .filter(|fitted| used.contains(&fitted.method().to_string()))
        .collect();
    if let Some(bytes) = statistics_to_bytes(&fitted)? {
        let stem = args.out.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}.statistics.safetensors");
        atomic::write(&folder.join(&name), "--out", &bytes)?;
        saved.statistics = Some(Statistics::of(name, &bytes));
    }
    atomic::write(&args.out, "--out", saved.to_toml().as_bytes())?;
    Ok(saved)
}

/// The path of a file as a file in `folder` names it: relative where it lies in it or below.
fn from_folder(folder: &Path, path: &Path) -> Result<PathBuf> {
    let whole = |path: &Path| {
        let cannot = || format!("cannot find {}", path.display());
        path.canonicalize().with_context(cannot)
    };
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let (path, folder) = (whole(path)?, whole(folder)?);
    match path.strip_prefix(&folder) {
        Ok(relative) => Ok(relative.to_path_buf()),
        Err(_) => Ok(path),
    }
}

/// What a person should know before trusting the threshold.
fn warn(args: &Calibrate, saved: &SavedDetector) -> Result<()> {
    let images = saved.images.in_images;
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
