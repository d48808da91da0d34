//! The scores of the images of a set, all at once or image by image.

use super::collect::each_of_batch;
use super::detector::Detector;
use super::run::{ImageError, Progress};
use crate::input::{Batches, Reading};
use crate::{Error, ErrorKind, Images, Score};
use odin_data::Image;
use std::fmt;
use std::vec::IntoIter;

/// One scored image.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The image's name in its set.
    pub name: String,
    /// Its true class, where the set knows it.
    pub label: Option<usize>,
    /// Its predicted class and scores.
    pub score: Score,
}

/// A set with its scores, in the order of the set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoredSet {
    /// The name of the set.
    pub name: String,
    /// The images.
    pub rows: Vec<Row>,
    /// The names of the scores, `msp` and `odin` first.
    pub score_names: Vec<String>,
    /// The images left out.
    pub skipped: Vec<ImageError>,
    /// The names of the classes that labels index, where the set has them.
    pub class_names: Option<Vec<String>>,
}

impl ScoredSet {
    /// A set of rows that were scored one by one, of a detector with these
    /// [score names](Detector::score_names).
    pub fn new(name: impl Into<String>, score_names: &[String], rows: Vec<Row>) -> Self {
        Self {
            name: name.into(),
            rows,
            score_names: score_names.to_vec(),
            skipped: Vec::new(),
            class_names: None,
        }
    }

    /// One score of every image, by its name.
    ///
    /// # Errors
    /// When there is no such score.
    pub fn scores(&self, name: &str) -> Result<Vec<f64>, Error> {
        let scores = self.rows.iter().map(|row| row.score.get(name));
        scores.collect::<Option<_>>().ok_or_else(|| {
            let problem = format!(
                "{}: the score {name} was not computed; there are {}",
                self.name,
                self.score_names.join(", ")
            );
            Error::new(ErrorKind::Invalid, problem)
        })
    }

    /// The same with the first rows only.
    pub fn truncated(&self, rows: usize) -> Self {
        let mut truncated = self.clone();
        truncated.rows.truncate(rows);
        truncated
    }
}

/// The rows of images in their order, scored on demand, a batch at a time, while later images are
/// decoded. Memory does not grow with their number.
#[must_use = "images are scored as they are asked for"]
pub struct Rows<'a> {
    detector: &'a Detector,
    images: Images,
    batches: Batches,
    batch: IntoIter<Result<Row, ImageError>>,
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("images", &self.images)
            .finish_non_exhaustive()
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(row);
            }
            let readings = self.batches.next_batch()?;
            self.batch = self
                .detector
                .score_readings(&self.images, readings)
                .into_iter();
        }
    }
}

impl Detector {
    /// Scores images one after the other: each gives its scores, or the reason why it has none.
    pub fn rows(&self, images: &Images) -> Rows<'_> {
        Rows {
            detector: self,
            images: images.clone(),
            batches: Batches::new(images, self.batch_size(), self.threads()),
            batch: Vec::new().into_iter(),
        }
    }

    /// Scores all images of a set, while later images are decoded.
    ///
    /// # Errors
    /// When an image cannot be read (unless such are skipped) or has the wrong shape, or no
    /// image is left; the message names the set and the image.
    pub fn score_set(
        &self,
        images: &Images,
        mut progress: impl FnMut(Progress),
    ) -> Result<ScoredSet, Error> {
        let mut scored = ScoredSet::new(images.name(), self.score_names(), Vec::new());
        scored.class_names = images.class_names().map(<[String]>::to_vec);
        for (done, row) in (1..).zip(self.rows(images)) {
            match row {
                Ok(row) => scored.rows.push(row),
                Err(image) if image.error.kind() == ErrorKind::Data => match images.skips_bad() {
                    true => scored.skipped.push(image),
                    false => return Err(image.error),
                },
                Err(ImageError { name, error }) => {
                    return Err(error.about(format_args!("{}, {name}", images.name())));
                }
            }
            if done % self.batch_size() == 0 || done == images.len() {
                progress(Progress::new(done, images.len()));
            }
        }
        match scored.rows.is_empty() {
            false => Ok(scored),
            true => Err(images.none_left(&scored.skipped)),
        }
    }

    /// The rows of images that were read, in their order.
    fn score_readings(
        &self,
        images: &Images,
        readings: Vec<Reading>,
    ) -> Vec<Result<Row, ImageError>> {
        let score = |images: &[Image]| self.score_prepared(images);
        let scored = each_of_batch(images, readings, self.input(), score).into_iter();
        let row = |(name, label, score)| Row { name, label, score };
        scored.map(|scored| scored.map(row)).collect()
    }
}
