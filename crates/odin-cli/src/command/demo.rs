//! What `odin` does without a command: the main job on an embedded network and embedded images.

use crate::output::progress::{Meter, say};
use crate::output::stdout::write_stdout;
use crate::resolve::device;
use anyhow::Result;
use odin::{
    Classifier, ClassifierOptions, Detector, Images, MetricsMode, ScoredSet, Setting, evaluate,
};
use odin_data::{ArrayLayout, NoiseKind, from_npy_bytes};
use odin_report::{Comparison, Network, Report, SetInfo};
use std::time::Instant;

const MODEL: &[u8] = include_bytes!("../../../../demo/model.safetensors");
const IN: &[u8] = include_bytes!("../../../../demo/in.npy");
const IN_LABELS: &[u8] = include_bytes!("../../../../demo/in_labels.npy");
const NEAR: &[u8] = include_bytes!("../../../../demo/near.npy");
const NEAR_LABELS: &[u8] = include_bytes!("../../../../demo/near_labels.npy");

const TEMPERATURE: f64 = 1000.0;
/// Chosen by demo/train.py on training and validation images alone.
const MAGNITUDE: f64 = 0.005;
const SEED: u64 = 0;

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

    let mut results = Vec::new();
    for out_set in &out_sets {
        let out_scored = score(&detector, out_set)?;
        let mode = MetricsMode::Exact;
        results.push(Comparison {
            out_dataset: out_set.name().to_string(),
            out_set: SetInfo::default(),
            in_set_shortened: false,
            magnitude: MAGNITUDE,
            evaluation: evaluate(&detector, &in_scored, &out_scored, mode, None)?,
        });
    }
    let report = Report {
        model: "embedded".to_string(),
        network: Network::from(&classifier),
        in_dataset: in_set.name().to_string(),
        in_set: SetInfo::default(),
        accuracy: in_scored.accuracy(&classifier),
        temperature: TEMPERATURE,
        device: detector.device().to_string(),
        engine: detector.engine(),
        mode: MetricsMode::Exact,
        seed: SEED,
        results,
    };
    write_stdout(&report.to_table())?;
    say(&format!(
        "\nDone in {:.1} s on {threads} threads. On so small a network ODIN gains nothing over the",
        started.elapsed().as_secs_f64()
    ));
    say("baseline; on the paper's networks it gains much (see the README).");
    say("Your own network and images: odin eval --nn FILE --in-dataset DIR --out-dataset DIR");
    Ok(())
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
