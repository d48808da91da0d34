//! What `odin` does without a command: the main job on an embedded network and embedded images.

use crate::output::drawing::{draw, side_by_side};
use crate::output::progress::{Meter, say};
use crate::output::stdout::write_stdout;
use crate::resolve::device;
use anyhow::{Context, Result};
use odin::{
    CalibratedDetector, CalibrationOptions, Classifier, ClassifierOptions, Detector, Images,
    MetricsMode, ScoredSet, Setting, Verdict, evaluate,
};
use odin_data::{ArrayLayout, NoiseKind, from_npy_bytes};
use odin_report::{Comparison, ComputedIn, Network, Report, SetInfo};
use std::time::Instant;

const MODEL: &[u8] = include_bytes!("../../../../demo/model.safetensors");
const IN: &[u8] = include_bytes!("../../../../demo/in.npy");
const IN_LABELS: &[u8] = include_bytes!("../../../../demo/in_labels.npy");
const NEAR: &[u8] = include_bytes!("../../../../demo/near.npy");
const NEAR_LABELS: &[u8] = include_bytes!("../../../../demo/near_labels.npy");

const VALIDATION: &[u8] = include_bytes!("../../../../demo/validation.npy");
const VALIDATION_LABELS: &[u8] = include_bytes!("../../../../demo/validation_labels.npy");

const TEMPERATURE: f64 = 1000.0;
/// Chosen by demo/train.py on training and validation images alone.
const MAGNITUDE: f64 = 0.005;
const SEED: u64 = 0;

const KNOWN: [usize; 3] = [0, 3, 5];
const UNKNOWN: [usize; 3] = [6, 8, 9];
/// The width of a drawn image, of eight pixels, and the space behind it.
const COLUMN: usize = 24;

pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let options = ClassifierOptions::default();
    let classifier = Classifier::from_bytes(MODEL, "the embedded network", options)?;
    let threads = device::threads(None);
    let detector = Detector::builder(&classifier)
        .setting(Setting::new(TEMPERATURE, MAGNITUDE)?)
        .threads(threads)
        .build()?;

    say(
        "ODIN on an embedded example: a small DenseNet-BC that knows the handwritten digits 0 to 5.",
    );
    say("In-distribution: test images of 0 to 5. Out-of-distribution: the digits 6 to 9, which it");
    say("never saw, and two kinds of noise. Both scores should be high for the former only.\n");

    let digits = |images, labels, name| digits(&classifier, images, labels, name);
    let in_set = digits(IN, IN_LABELS, "digits 0-5")?;
    let in_scored = score(&detector, &in_set)?;
    let far = |kind| classifier.noise(kind, in_set.len(), SEED);
    let out_sets = [
        digits(NEAR, NEAR_LABELS, "digits 6-9")?,
        far(NoiseKind::Uniform)?,
        far(NoiseKind::Gaussian)?,
    ];

    let out_scored = out_sets.each_ref().map(|set| score(&detector, set));
    let out_scored = out_scored.into_iter().collect::<Result<Vec<_>>>()?;
    let mut results = Vec::new();
    for (set, scored) in out_sets.iter().zip(&out_scored) {
        let mode = MetricsMode::Exact;
        results.push(Comparison {
            out_dataset: set.name().to_string(),
            out_set: SetInfo::default(),
            in_set_shortened: false,
            magnitude: MAGNITUDE,
            evaluation: evaluate(&detector, &in_scored, scored, mode, None)?,
        });
    }
    let report = Report {
        model: "embedded".to_string(),
        network: Network::from(&classifier),
        in_dataset: in_set.name().to_string(),
        in_set: SetInfo::default(),
        accuracy: in_scored.accuracy(&classifier),
        temperature: TEMPERATURE,
        computed_in: ComputedIn::from(&detector),
        device: detector.device().to_string(),
        engine: detector.engine(),
        built_in: None,
        mode: MetricsMode::Exact,
        seed: SEED,
        warnings: detector.warnings(),
        results,
    };
    write_stdout(&report.to_table())?;
    say("\nOn so small a network ODIN gains nothing over the baseline; on the paper's networks it");
    say("gains much (see the README). What it is for, a decision about each image:");

    let validation = digits(VALIDATION, VALIDATION_LABELS, "digits 0-5 (validation)")?;
    let validation = score(&detector, &validation)?;
    let calibrated =
        CalibrationOptions::default().calibrate(detector, &validation, out_scored.first())?;
    write_stdout(&decisions(&calibrated, &in_set, &out_sets[0])?)?;

    say(&format!(
        "\nDone in {:.1} s on {threads} threads. With your own network and images:",
        started.elapsed().as_secs_f64()
    ));
    say(
        "  odin eval --nn FILE --in-dataset DIR --out-dataset DIR --score all  # which score is best?",
    );
    say(
        "  odin calibrate --nn FILE --in-dataset DIR -o detector.toml          # choose the threshold",
    );
    say("  odin score --detector detector.toml IMAGE...                        # decide");
    Ok(())
}

/// Draws and judges the first image of each of six digits: three that the network knows, three
/// that it does not.
fn decisions(detector: &CalibratedDetector, known: &Images, unknown: &Images) -> Result<String> {
    let record = detector.record();
    let decided_by = record.deciding()?;
    let taken_for_known = decided_by.against_out.map_or(f64::NAN, |point| point.fpr);
    let mut text = format!(
        "\nThreshold {:.5}: {:.1} % of {} other images of 0 to 5 reach it, and {:.1} % of 6 to 9.\n",
        decided_by.threshold,
        100.0 * decided_by.calibration.tpr,
        record.images.in_images,
        100.0 * taken_for_known,
    );
    for (title, set, digits) in [
        ("Digits that the network knows", known, KNOWN),
        ("Digits that it does not know", unknown, UNKNOWN),
    ] {
        let blocks = digits.map(|digit| drawn(detector, set, digit));
        let blocks = blocks.into_iter().collect::<Result<Vec<_>>>()?;
        text += &format!("\n{title}:\n\n{}", side_by_side(&blocks, COLUMN));
    }
    Ok(text)
}

/// The first image of a digit, and what the detector says of it.
fn drawn(detector: &CalibratedDetector, set: &Images, digit: usize) -> Result<Vec<String>> {
    let is_digit = |i: &usize| matches!(set.get(*i), Ok(sample) if sample.label == Some(digit));
    let first = (0..set.len())
        .find(is_digit)
        .context("the embedded sets have every digit")?;
    let mut lines = draw(&set.get(first)?.image);
    for verdict in detector.judge(&set.these([first])) {
        let Verdict {
            score, decision, ..
        } = verdict?;
        lines.push(format!("a {digit}; predicted: {}", score.prediction));
        lines.push(format!("ODIN score {:.5}", decision.score));
        lines.push(format!("percentile {:.1}", decision.percentile));
        lines.push(match decision.is_in_distribution {
            true => "in-distribution".to_string(),
            false => "OUT OF DISTRIBUTION".to_string(),
        });
    }
    Ok(lines)
}

fn digits(
    classifier: &Classifier,
    images: &'static [u8],
    labels: &'static [u8],
    name: &str,
) -> Result<Images> {
    let mut options = classifier.open_options();
    options.layout = Some(ArrayLayout::Nchw);
    let set = from_npy_bytes(name, images, Some(labels.into()), &options)?;
    Ok(classifier.images(set))
}

fn score(detector: &Detector, images: &Images) -> Result<ScoredSet> {
    let mut meter = Meter::new(images.name(), false);
    Ok(detector.score_set(images, |p| meter.update(p))?)
}
