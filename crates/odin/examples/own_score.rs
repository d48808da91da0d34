//! A score of one's own beside those of the library, from the same forward pass:
//!
//!     cargo run -p odin --example own_score -- MODEL IMAGES
//!     cargo run -p odin --example own_score -- demo/model.safetensors demo/near.npy

use odin::{Classifier, ClassifierOptions, Detector, Needs, Observation, Scorer};
use std::error::Error;
use std::io::Write;
use std::path::Path;

/// The lead of the largest logit over the second largest.
#[derive(Debug)]
struct Margin;

impl Scorer for Margin {
    fn name(&self) -> &str {
        "margin"
    }

    fn needs(&self) -> Needs {
        Needs::LOGITS
    }

    /// High for images that the network knows.
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let mut logits = observation.logits.to_vec();
        logits.sort_by(|a, b| b.total_cmp(a));
        match logits[..] {
            [first, second, ..] => f64::from(first) - f64::from(second),
            _ => f64::NAN,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images] = &arguments[..] else {
        return Err("expected MODEL IMAGES".into());
    };
    run(Path::new(model), Path::new(images), &mut std::io::stdout())
}

pub(crate) fn run(model: &Path, images: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let classifier = Classifier::open(model, ClassifierOptions::default())?;
    let detector = Detector::builder(&classifier).scorer(Margin).build()?;
    let images = detector.open_images(images)?;
    for row in detector.rows(&images) {
        let row = row?;
        let scores = row
            .score
            .iter()
            .map(|(name, value)| format!("{name} {value:.4}"));
        writeln!(
            out,
            "{}: {}",
            row.name,
            scores.collect::<Vec<_>>().join(", ")
        )?;
    }
    Ok(())
}
