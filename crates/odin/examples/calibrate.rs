//! Makes a detector of a trained network and images that it knows: a quarter of them choose the
//! setting, the others the threshold.
//!
//!     cargo run -p odin --example calibrate -- MODEL IMAGES DETECTOR.toml
//!     cargo run -p odin --example calibrate -- demo/model.safetensors demo/in.npy detector.toml

use odin::{
    CalibrationOptions, Classifier, ClassifierOptions, Detector, Grid, ThresholdRule, TuneOptions,
};
use std::error::Error;
use std::io::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images, detector] = &arguments[..] else {
        return Err("expected MODEL IMAGES DETECTOR.toml".into());
    };
    let out = &mut std::io::stdout();
    run(
        Path::new(model),
        Path::new(images),
        Path::new(detector),
        out,
    )
}

pub(crate) fn run(
    model: &Path,
    images: &Path,
    detector_toml: &Path,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let classifier = Classifier::open(model, ClassifierOptions::default())?;
    let images = classifier.open_images(images)?;
    let (validation, held_out) = images.split(images.len() / 4, 0);
    let builder = Detector::builder(&classifier).threads(2);
    let grid = Grid::new(&[1000.0], &[0.0, 0.0014, 0.005])?;
    let tuned =
        TuneOptions::default()
            .grid(grid)
            .tune(builder.clone(), &validation, None, |_, _| {})?;
    let detector = builder.setting(tuned.setting).build()?;
    let scored = detector.score_set(&held_out, |_| {})?;
    let calibrated = CalibrationOptions::default()
        .rule(ThresholdRule::Tpr(0.95))
        .calibrate(detector, &scored, None)?;
    calibrated.save(detector_toml)?;
    let threshold = calibrated.record().deciding()?.threshold;
    writeln!(out, "{}, threshold {threshold}", tuned.setting)?;
    Ok(())
}
