//! `odin explain`: prints the program that a network is lowered to, step by step, with timings.

use crate::args::{Explain, SettingOptions};
use crate::output::stdout::write_stdout;
use crate::resolve::{network, registry};
use anyhow::{Context, Result};
use odin::{Classifier, Detector};
use odin_data::Image;
use odin_report::ExplainReport;
use std::time::Instant;

pub(crate) fn run(args: &Explain) -> Result<()> {
    let registry = registry::open(&args.network.registry)?;
    let classifier = network::open(&args.nn.name, &args.network, None, &registry)?;
    let threads = args.threads;
    let asked_for = SettingOptions {
        precision: args.precision,
        ..SettingOptions::default()
    };
    let detector = Detector::builder(&classifier)
        .setting(network::setting(&asked_for, &classifier)?)
        .threads(threads)
        .build()?;
    let program = detector
        .program()
        .context("the built-in engine has no program")?;
    let repetitions = args.repetitions as usize;
    let start = Instant::now();
    let clock = || start.elapsed();
    let times = detector.step_times(&pattern(&classifier), repetitions, &clock);
    let times = times.with_context(|| args.nn.name.clone())?;
    let report = ExplainReport::new(&classifier, &program, &times, repetitions)
        .threads(threads)
        .precision(detector.setting().precision);
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}

/// An image; the time does not depend on its pixels.
fn pattern(classifier: &Classifier) -> Image {
    let [channels, height, width] = classifier.image_shape();
    let pixels = (0..channels * height * width).map(|i| (i * 7919 % 256) as f32 / 255.0);
    Image {
        channels,
        height,
        width,
        pixels: pixels.collect(),
    }
}
