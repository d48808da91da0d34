//! Scores sets of images, with progress on standard error and the names of skipped images. The
//! confidence intervals of their metrics.

use crate::args::RunOptions;
use crate::output::progress::{Meter, say};
use crate::resolve::device::threads;
use anyhow::{Result, bail};
use odin::{Detector, ErrorKind, ImageError, Images, Intervals, ScoredSet};
use odin_error::{agree, counted};

/// The resamples of `--ci`.
const RESAMPLES: usize = 1000;

/// Scores images of a set, and names those that were left out.
pub(crate) fn score(detector: &Detector, images: &Images, run: &RunOptions) -> Result<ScoredSet> {
    let mut meter = Meter::new(images.name(), run.quiet.on);
    let scored = detector.score_set(images, |p| meter.update(p));
    drop(meter);
    let scored = or_skip_bad(scored, run.skip_bad)?;
    tell_skipped(&scored.name, &scored.skipped, run.quiet.on);
    Ok(scored)
}

/// The intervals of `--ci`.
pub(super) fn intervals(seed: u64, on_threads: Option<usize>) -> Intervals {
    Intervals::new(RESAMPLES, seed, threads(on_threads))
}

/// Names the images that were left out.
pub(super) fn tell_skipped(set: &str, skipped: &[ImageError], quiet: bool) {
    if skipped.is_empty() || quiet {
        return;
    }
    let count = skipped.len();
    say(&format!(
        "{set}: {} {} left out because {} not decode:",
        counted(count, "image"),
        agree(count, "was", "were"),
        agree(count, "it does", "they do")
    ));
    for image in skipped {
        say(&format!("  {}: {}", image.name, image.error));
    }
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
