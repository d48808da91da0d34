use crate::{Detector, Error, ErrorKind, Score};
use odin_data::{DataSet, Image};
use std::ops::Range;

/// The images of a set that are to be scored.
pub struct Images<'a> {
    set: &'a dyn DataSet,
    range: Range<usize>,
    skip_bad: bool,
}

impl<'a> Images<'a> {
    /// Every image.
    pub fn all(set: &'a dyn DataSet) -> Self {
        let range = 0..set.len();
        Self {
            set,
            range,
            skip_bad: false,
        }
    }

    /// Only those of these positions; what lies behind the end of the set is left out.
    pub fn range(mut self, range: Range<usize>) -> Self {
        let end = range.end.min(self.set.len());
        self.range = range.start.min(end)..end;
        self
    }

    /// Whether an image that does not decode is left out (and reported) instead of ending the
    /// run.
    pub fn skip_bad(mut self, skip_bad: bool) -> Self {
        self.skip_bad = skip_bad;
        self
    }
}

/// How far a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Images read and scored, or skipped.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

/// One scored image.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The image's name in its set.
    pub name: String,
    /// Its true class, where the set knows it.
    pub label: Option<usize>,
    /// What the detector says.
    pub score: Score,
}

/// An image that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The image's name in its set.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A set with its scores, in the order of the set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoredSet {
    /// The name of the set.
    pub name: String,
    /// The images.
    pub rows: Vec<Row>,
    /// The images left out.
    pub skipped: Vec<Skipped>,
}

impl ScoredSet {
    /// The share of images whose predicted class is the true one; `None` when a label is
    /// missing or does not name one of `classes` classes.
    pub fn accuracy(&self, classes: usize) -> Option<f64> {
        let right: Option<Vec<bool>> = self
            .rows
            .iter()
            .map(|row| {
                row.label
                    .filter(|&l| l < classes)
                    .map(|l| l == row.score.prediction)
            })
            .collect();
        let right = right.filter(|right| !right.is_empty())?;
        let hits = right.iter().filter(|hit| **hit).count();
        Some(hits as f64 / right.len() as f64)
    }

    /// One score of every image.
    pub fn scores(&self, pick: impl Fn(&Score) -> f64) -> Vec<f64> {
        self.rows.iter().map(|row| pick(&row.score)).collect()
    }
}

impl Detector {
    /// Scores images of a set, reading a batch at a time.
    ///
    /// # Errors
    /// When an image does not decode (unless such are skipped) or has the wrong shape, or no
    /// image is left; the message names the set and the image.
    pub fn score_set(
        &self,
        images: &Images<'_>,
        magnitude: f64,
        mut progress: impl FnMut(Progress),
    ) -> Result<ScoredSet, Error> {
        let (set, range) = (images.set, images.range.clone());
        let mut scored = ScoredSet {
            name: set.name().to_string(),
            rows: Vec::new(),
            skipped: Vec::new(),
        };
        for start in range.clone().step_by(self.batch_size()) {
            let end = (start + self.batch_size()).min(range.end);
            let (names, decoded) = self.read(images, start..end, &mut scored.skipped)?;
            let scores = self.score(&decoded, magnitude).map_err(|e| {
                Error::new(
                    e.kind(),
                    format!("{}, images {start} to {}: {e}", set.name(), end - 1),
                )
            })?;
            let rows = names.into_iter().zip(scores);
            scored
                .rows
                .extend(rows.map(|((name, label), score)| Row { name, label, score }));
            progress(Progress {
                done: end - range.start,
                total: range.len(),
            });
        }
        match scored.rows.is_empty() {
            false => Ok(scored),
            true => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{}: there is no image to score ({} of {} in the set were asked for, {} could not be read)",
                    set.name(),
                    range.len(),
                    set.len(),
                    scored.skipped.len()
                ),
            )),
        }
    }

    /// Names, labels and pixels of the images that decode.
    #[allow(clippy::type_complexity)]
    fn read(
        &self,
        images: &Images<'_>,
        range: Range<usize>,
        skipped: &mut Vec<Skipped>,
    ) -> Result<(Vec<(String, Option<usize>)>, Vec<Image>), Error> {
        let mut names = Vec::with_capacity(range.len());
        let mut decoded = Vec::with_capacity(range.len());
        for i in range {
            let sample = match images.set.get(i) {
                Ok(sample) => sample,
                Err(error) if images.skip_bad => {
                    let (name, reason) = (images.set.sample_name(i), error.to_string());
                    skipped.push(Skipped { name, reason });
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.check_shape(&sample.image).map_err(|e| {
                Error::new(
                    e.kind(),
                    format!("{}, {}: {e}", images.set.name(), sample.name),
                )
            })?;
            names.push((sample.name, sample.label));
            decoded.push(sample.image);
        }
        Ok((names, decoded))
    }
}
