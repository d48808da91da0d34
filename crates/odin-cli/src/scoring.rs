//! Scores sets, with what is said meanwhile.

use crate::args::RunOptions;
use crate::eval::threads;
use crate::open_set::OpenSet;
use crate::progress::{Meter, say};
use anyhow::{Result, bail};
use odin::{Classifier, Detector, DetectorBuilder, ErrorKind, Images, ScoredSet};

/// Scores the part of a set that takes part, under the name that reports give it.
pub(crate) fn score(
    detector: &Detector,
    set: &OpenSet,
    magnitude: f64,
    run: &RunOptions,
) -> Result<ScoredSet> {
    let images = Images::all(&*set.set).range(set.range.clone());
    let images = images.skip_bad(run.skip_bad);
    let mut meter = Meter::new(&set.name, run.quiet);
    let scored = detector.score_set(&images, magnitude, |p| meter.update(p));
    drop(meter);
    let mut scored = match scored {
        Err(error) if error.kind() == ErrorKind::Data && !run.skip_bad => {
            bail!("{error}; --skip-bad leaves out what cannot be read")
        }
        other => other?,
    };
    if !scored.skipped.is_empty() && !run.quiet {
        say(&format!(
            "{}: {} images were left out because they do not decode:",
            set.name,
            scored.skipped.len()
        ));
        for skipped in &scored.skipped {
            say(&format!("  {}: {}", skipped.name, skipped.reason));
        }
    }
    scored.name = set.name.clone();
    Ok(scored)
}

/// What all detectors of a command have in common.
pub(crate) fn builder<'a>(classifier: &'a Classifier, run: &RunOptions) -> DetectorBuilder<'a> {
    Detector::builder(classifier)
        .threads(threads(run.threads))
        .batch_size(run.batch_size)
}
