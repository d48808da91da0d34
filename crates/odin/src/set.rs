use crate::{Detector, Error, ErrorKind, Score};
use odin_data::{DataSet, Image};
use std::fmt;
use std::ops::Range;

/// The images of a set that are to be scored.
#[must_use = "it is `Detector::score_set` that scores them"]
pub struct Images<'a> {
    set: &'a dyn DataSet,
    range: Range<usize>,
    skip_bad: bool,
}

impl fmt::Debug for Images<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images")
            .field("set", &self.set.name())
            .field("range", &self.range)
            .field("skip_bad", &self.skip_bad)
            .finish()
    }
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
#[non_exhaustive]
pub struct Progress {
    /// Images read and scored, or skipped.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

impl Progress {
    /// `done` images of `total`.
    pub fn new(done: usize, total: usize) -> Self {
        Self { done, total }
    }
}

/// One scored image.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
    /// The names of the classes that labels index, where the set has them.
    pub class_names: Option<Vec<String>>,
}

impl ScoredSet {
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
            class_names: set.class_names().map(<[String]>::to_vec),
        };
        for start in range.clone().step_by(self.batch_size()) {
            let end = start.saturating_add(self.batch_size()).min(range.end);
            let batch = self.read(images, start..end, &mut scored.skipped)?;
            let scores = self.score_batch(set, &batch, start..end, magnitude)?;
            let rows = batch.labels.into_iter().zip(scores);
            scored
                .rows
                .extend(rows.map(|((name, label), score)| Row { name, label, score }));
            progress(Progress::new(end - range.start, range.len()));
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

    /// Scores what was read of `range`.
    fn score_batch(
        &self,
        set: &dyn DataSet,
        batch: &Batch,
        range: Range<usize>,
        magnitude: f64,
    ) -> Result<Vec<Score>, Error> {
        let name = |i: usize| batch.labels.get(i).map_or("", |(name, _)| name).to_string();
        let scores = self.score_named(&batch.images, magnitude, name);
        scores.map_err(|e| {
            let set = set.name();
            let message = match e.kind() {
                ErrorKind::NotFinite => format!("{set}, {e}"),
                _ => format!("{set}, images {} to {}: {e}", range.start, range.end - 1),
            };
            Error::new(e.kind(), message)
        })
    }

    /// The images that decode.
    fn read(
        &self,
        images: &Images<'_>,
        range: Range<usize>,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Batch, Error> {
        let mut batch = Batch::default();
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
            batch.labels.push((sample.name, sample.label));
            batch.images.push(sample.image);
        }
        Ok(batch)
    }
}

/// Images that were read, with the name and the label of each.
#[derive(Default)]
struct Batch {
    labels: Vec<(String, Option<usize>)>,
    images: Vec<Image>,
}
