//! `odin explain`: prints the program that a network is lowered to, step by step, with timings.

use crate::args::{Explain, SettingOptions, UsageError};
use crate::output::stdout::write_stdout;
use crate::resolve::{device, network, registry};
use anyhow::{Context, Result};
use odin::{Classifier, Detector, Device};
use odin_data::Image;
use odin_report::{ExplainReport, GpuExplainReport};
use std::time::Instant;

pub(crate) fn run(args: &Explain) -> Result<()> {
    let device = device::chosen(&args.device)?;
    if device.is_of_onnx_runtime() {
        return Err(UsageError(format!(
            "--device {device}: ONNX Runtime does not show its program; cpu, gpu:N and cpu-vulkan do"
        ))
        .into());
    }
    let registry = registry::open(&args.network.registry)?;
    let classifier = network::open(&args.nn.name, &args.network, None, &registry)?;
    let asked_for = SettingOptions {
        precision: args.precision,
        ..SettingOptions::default()
    };
    let builder = Detector::builder(&classifier)
        .setting(network::setting(&asked_for, &classifier)?)
        .threads(args.threads)
        .batch_size(args.batch_size);
    let detector = device::build(builder, device, &args.device)?;
    match device {
        Device::Cpu => on_cpu(args, &classifier, &detector),
        _ => on_gpu(args, &classifier, &detector),
    }
}

fn on_cpu(args: &Explain, classifier: &Classifier, detector: &Detector) -> Result<()> {
    let program = detector
        .program()
        .context("the built-in engine has no program")?;
    let repetitions = args.repetitions as usize;
    let start = Instant::now();
    let clock = || start.elapsed();
    let times = detector.step_times(&pattern(classifier), repetitions, &clock);
    let times = times.with_context(|| args.nn.name.clone())?;
    let report = ExplainReport::new(classifier, &program, &times, repetitions)
        .threads(args.threads)
        .precision(detector.setting().precision);
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}

fn on_gpu(args: &Explain, classifier: &Classifier, detector: &Detector) -> Result<()> {
    let program = detector
        .gpu_program()
        .context("the engine for graphics processors has no program")?;
    let repetitions = args.repetitions as usize;
    let times = detector.gpu_step_times(&pattern(classifier), repetitions);
    let report = GpuExplainReport {
        network: classifier.into(),
        device: detector.device().to_string(),
        engine: detector.engine(),
        program,
        times: times.with_context(|| args.nn.name.clone())?,
        repetitions,
        images: args.batch_size,
    };
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
