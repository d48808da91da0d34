//! Decides about photos with a calibrated detector. Without arguments, about handwritten digits 6
//! to 9, with a detector that knows 0 to 5:
//!
//!     cargo run -p odin --example decide -- DETECTOR.toml PHOTOS

use odin::CalibratedDetector;
use std::error::Error;
use std::io::Write;
use std::path::Path;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo");

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = &mut std::io::stdout();
    match &arguments[..] {
        [] => {
            let demo = Path::new(DEMO);
            run(&demo.join("detector.toml"), &demo.join("near.npy"), out)
        }
        [detector, photos] => run(Path::new(detector), Path::new(photos), out),
        _ => Err("expected DETECTOR.toml PHOTOS".into()),
    }
}

pub(crate) fn run(
    detector: &Path,
    photos: &Path,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let detector = CalibratedDetector::open(detector)?;
    let photos = detector.open_images(photos)?;
    for verdict in detector.judge(&photos) {
        match verdict {
            Ok(verdict) => {
                let (name, class) = (verdict.name, verdict.score.prediction);
                let (known, p) = (
                    verdict.decision.is_in_distribution,
                    verdict.decision.p_value,
                );
                let known = if known { "known" } else { "unknown" };
                writeln!(out, "{name}: class {class}, {known}, p = {p:.4}")?;
            }
            // A photo that cannot be read stops nothing.
            Err(problem) => writeln!(out, "{problem}")?,
        }
    }
    Ok(())
}
