//! Scores sets of images, with progress on standard error.

use crate::args::RunOptions;
use crate::output::progress::{Meter, say};
use crate::resolve::dataset::OpenSet;
use anyhow::{Result, bail};
use odin::{Detector, ErrorKind, Images, ScoredSet};

/// Scores the images of a set that are used, under the name that reports give it.
pub(crate) fn score(
    detector: &Detector,
    set: &OpenSet,
    magnitude: f64,
    run: &RunOptions,
) -> Result<ScoredSet> {
    let images = Images::all(&*set.set).range(set.range.clone());
    let images = images.skip_bad(run.skip_bad);
    let mut meter = Meter::new(&set.name, run.quiet.on);
    let scored = detector.score_set(&images, magnitude, |p| meter.update(p));
    drop(meter);
    let mut scored = or_skip_bad(scored, run.skip_bad)?;
    if !scored.skipped.is_empty() && !run.quiet.on {
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

/// Adds to the error of an unreadable image how to go on without it.
pub(super) fn or_skip_bad<T>(scored: Result<T, odin::Error>, skip_bad: bool) -> Result<T> {
    match scored {
        Err(error) if error.kind() == ErrorKind::Data && !skip_bad => {
            bail!("{error}; --skip-bad leaves out what cannot be read")
        }
        other => Ok(other?),
    }
}
