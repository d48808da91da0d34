//! `odin verify`: compares a compiled detector with its model.

use crate::args::{SplitArg, Verify};
use crate::output::progress::{Meter, say};
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Selection, Spec};
use crate::resolve::device::{self, threads};
use crate::resolve::{network, registry};
use anyhow::{Result, anyhow, bail};
use odin::{
    Agreement, CalibratedDetector, Classifier, CompiledDetector, Detector, DetectorBuilder,
    DetectorInput, Device, ErrorKind, Image, Images, Precision, Progress, Setting,
};
use odin_data::registry::Registry;
use odin_report::AgreementReport;
use std::path::Path;

/// Images read at a time.
const BATCH: usize = 32;

pub(crate) fn run(args: &Verify) -> Result<()> {
    let device = device::chosen(&args.device)?;
    let registry = registry::open(&args.network.registry)?;
    let (classifier, builder) = original(args, &registry)?;
    network::announce(&classifier, args.quiet.on);
    let file = CompiledDetector::open(&args.detector, threads(args.threads));
    let file = file.map_err(|error| match error.kind() {
        ErrorKind::Classifier => anyhow!("{error}\n`odin compile` writes compiled detectors."),
        _ => error.into(),
    })?;
    if !args.quiet.on {
        for notice in differences(&file, &classifier) {
            say(&notice);
        }
    }
    let builder = builder
        .setting(setting(&file, device))
        .threads(threads(args.threads));
    let (detector, built_in) = device::timed(device, args.quiet.on, || {
        device::build(builder, device, &args.device)
    })?;
    device::announce(&detector, &classifier, args.quiet.on);
    let report = AgreementReport {
        detector: args.detector.display().to_string(),
        model: args.nn.clone(),
        device: detector.device().to_string(),
        engine: detector.engine(),
        built_in,
        agreement: compare(args, &registry, &classifier, &file, &detector)?,
        tolerance: args.tolerance,
    };
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))?;
    match report.holds() {
        true => Ok(()),
        false => bail!(
            "{} and {} are not the same detector: a difference exceeds the tolerance of {}",
            args.detector.display(),
            args.nn,
            args.tolerance
        ),
    }
}

/// The setting of the file; exact on devices that know no other precision.
fn setting(file: &CompiledDetector, device: Device) -> Setting {
    let setting = file.card().setting;
    match device {
        Device::Cpu => setting,
        _ => setting.with_precision(Precision::Exact),
    }
}

/// What the file was compiled from: a network, or a calibrated detector with its scores.
fn original(args: &Verify, registry: &Registry) -> Result<(Classifier, DetectorBuilder)> {
    let path = Path::new(&args.nn);
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        let builder = CalibratedDetector::options().builder(path)?;
        return Ok((builder.classifier().clone(), builder));
    }
    let classifier = network::open(&args.nn, &args.network, args.transform.as_ref(), registry)?;
    let builder = Detector::builder(&classifier).free_scores()?;
    Ok((classifier, builder))
}

/// What explains a difference before it is measured.
fn differences(file: &CompiledDetector, classifier: &Classifier) -> Vec<String> {
    let (card, name) = (file.card(), &file.network().file().name);
    let mut notices = Vec::new();
    if card.source_sha256.is_some() && card.source_sha256 != classifier.file().sha256 {
        notices.push(format!(
            "{name} was compiled of another file than {} (SHA-256 differs)",
            classifier.file().name
        ));
    }
    if card.normalization != *classifier.normalization() {
        let (mean, std) = (card.normalization.mean(), card.normalization.std());
        notices.push(format!(
            "{name} was compiled with another normalisation, mean {mean:?}, std {std:?}; give the same (--mean, --std)"
        ));
    }
    notices
}

fn compare(
    args: &Verify,
    registry: &Registry,
    classifier: &Classifier,
    file: &CompiledDetector,
    detector: &Detector,
) -> Result<Agreement> {
    let mut selection = Selection::of(classifier, &args.network.registry);
    selection.split = Some(SplitArg::All);
    selection.limit = Some(args.count);
    selection.seed = args.seed;
    let name = match args.images.as_str() {
        "random" => "Uniform",
        name => name,
    };
    let spec = Spec::resolve(name, "--images", &selection, registry)?;
    let count = Spec::noise_count(&selection, 0);
    let images = OpenSet::open(spec, &selection, count, false)?.images;
    let mut meter = Meter::new(images.name(), args.quiet.on);
    let mut agreement = Agreement::default();
    for start in (0..images.len()).step_by(BATCH) {
        let batch = read(&images.range(start..start + BATCH), file.card().input)?;
        agreement = agreement.and(Agreement::of(file, detector, &batch)?);
        meter.update(Progress::new(start + batch.len(), images.len()));
    }
    Ok(agreement)
}

/// The images, rounded to 8-bit levels where the detector takes bytes, which cannot express values
/// in between.
fn read(batch: &Images, input: DetectorInput) -> Result<Vec<Image>> {
    let mut images = Vec::with_capacity(batch.len());
    for i in 0..batch.len() {
        let mut image = batch.get(i)?.image;
        if matches!(input, DetectorInput::PixelsU8 | DetectorInput::PhotoU8) {
            for pixel in &mut image.pixels {
                *pixel = (*pixel * 255.0).round() / 255.0;
            }
        }
        images.push(image);
    }
    Ok(images)
}
