//! `odin calibrate`.

use super::scoring::score;
use crate::args::{Calibrate, Magnitude, SplitArg, UsageError};
use crate::output::atomic::{self, check_is_not_model};
use crate::output::progress::say;
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Selection, Spec, in_spec};
use crate::resolve::scores::Detectors;
use crate::resolve::{device, network, registry};
use anyhow::{Context, Result};
use odin::{
    CalibrationOptions, Classifier, SavedDetector, Statistics, ThresholdRule, minimum_images,
    statistics_to_bytes,
};
use odin_report::CalibrationReport;
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &Calibrate) -> Result<()> {
    let device = device::chosen(&args.run.compute.device)?;
    let rule = rule(args);
    check_out(&args.out)?;
    let registry = registry::open(&args.run.network.registry)?;
    let classifier = network::open(&args.nn.name, "--nn", &args.run.network, &registry)?;
    let mut selection = Selection::new(&args.run, &classifier, args.split, args.limit);
    selection.preferred = SplitArg::Validation;
    let in_dataset = args.in_dataset.as_deref();
    let in_spec = in_spec(&args.nn.name, in_dataset, &selection, &registry)?;
    let out_spec = args.out_dataset.as_deref();
    let out_spec = out_spec.map(|name| Spec::resolve(name, "--out-dataset", &selection, &registry));
    let (out_spec, skip_bad) = (out_spec.transpose()?, args.run.skip_bad);
    let in_set = OpenSet::open(in_spec, &selection, 10_000, &classifier, skip_bad)?;
    let noise = Spec::noise_count(&selection, in_set.range.len());
    let out_set =
        out_spec.map(|spec| OpenSet::open(spec, &selection, noise, &classifier, skip_bad));
    let out_set = out_set.transpose()?;
    check_is_not_model(&args.out, Path::new(&classifier.file().name))?;

    let detectors = Detectors::new(
        &args.detectors,
        &args.run,
        &classifier,
        &selection,
        &registry,
    )?;
    let quiet = args.run.quiet.on;
    let temperature = network::temperature(args.setting.temperature, &classifier, quiet);
    let builder = device::builder(&classifier, &args.run.compute).temperature(temperature);
    let detector = device::build(detectors.add_to(builder), device, &args.run.compute.device)?;
    if !quiet {
        network::announce(&classifier, false);
        device::announce(&detector, &classifier, false);
        for set in std::iter::once(&in_set).chain(&out_set) {
            set.announce(&selection)?;
        }
    }
    let magnitude = magnitude(args, &classifier);
    let scored = |set: &OpenSet| score(&detector, set, magnitude, &args.run);
    let in_scored = scored(&in_set)?;
    let out_scored = out_set.as_ref().map(scored).transpose()?;

    let options = CalibrationOptions::default()
        .scores(detectors.names().to_vec())
        .target_tpr(args.tpr)
        .rule(rule)
        .per_class(args.per_class);
    let out_scored = out_scored.as_ref();
    let saved = options.calibrate(&classifier, &detector, magnitude, &in_scored, out_scored)?;
    let saved = write(args, saved, &detectors, &selection)?;
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

fn magnitude(args: &Calibrate, classifier: &Classifier) -> f64 {
    let asked_for = args.setting.magnitude.map(Magnitude::Fixed);
    match network::magnitude(asked_for, classifier, args.run.quiet.on) {
        Magnitude::Fixed(magnitude) => magnitude,
        Magnitude::Paper => network::MAGNITUDE,
    }
}

/// Writes the detector and, before it, what was fitted.
fn write(
    args: &Calibrate,
    mut saved: SavedDetector,
    detectors: &Detectors,
    selection: &Selection,
) -> Result<SavedDetector> {
    let folder = args.out.parent().unwrap_or(Path::new(""));
    saved.model.path = from_folder(folder, &saved.model.path)?;
    if let Some(transform) = &selection.transform {
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
