//! Repetitions of one piece of work.

use anyhow::Result;
use odin::{Detector, Image, Score};
use std::time::Instant;

/// Scores `images` in batches; returns the scores and the seconds.
///
/// # Errors
/// Those of the detector.
pub fn score(detector: &Detector, images: &[Image], batch: usize) -> Result<(Vec<Score>, f64)> {
    let mut scores = Vec::with_capacity(images.len());
    let begun = Instant::now();
    for images in images.chunks(batch) {
        scores.extend(detector.score(images)?);
    }
    Ok((scores, begun.elapsed().as_secs_f64()))
}

/// The middle one, the upper of two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
