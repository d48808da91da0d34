use crate::network_input::NetworkInput;
use crate::reading::{Positions, Reading, read_ahead};
use crate::{Detector, Error, ErrorKind, Score};
use odin_data::{DataSet, Sample};
use std::fmt;
use std::ops::Range;

/// The images of a set that are to be scored.
#[must_use = "it is `Detector::score_set` that scores them"]
pub struct Images<'a> {
    pub(crate) set: &'a dyn DataSet,
    pub(crate) positions: Positions,
    skip_bad: bool,
}

impl fmt::Debug for Images<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images")
            .field("set", &self.set.name())
            .field("images", &self.positions.len())
            .field("skip_bad", &self.skip_bad)
            .finish()
    }
}

impl<'a> Images<'a> {
    /// Every image.
    pub fn all(set: &'a dyn DataSet) -> Self {
        Self {
            set,
            positions: Positions::Range(0..set.len()),
            skip_bad: false,
        }
    }

    /// Only those of these positions; what lies behind the end of the set is left out.
    pub fn range(mut self, range: Range<usize>) -> Self {
        let end = range.end.min(self.set.len());
        self.positions = Positions::Range(range.start.min(end)..end);
        self
    }

    /// Only those at these positions, in this order; what lies behind the end of the set is left
    /// out.
    pub fn these(mut self, mut positions: Vec<usize>) -> Self {
        positions.retain(|&position| position < self.set.len());
        self.positions = Positions::These(positions);
        self
    }

    /// Of images that were read, those that can be used; the others are left out, or end the run.
    pub(crate) fn usable(
        &self,
        readings: Vec<Reading>,
        input: &NetworkInput,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Vec<Sample>, Error> {
        let mut usable = Vec::with_capacity(readings.len());
        for Reading { position, sample } in readings {
            match sample {
                Ok(sample) => {
                    input.check_shape(&sample.image).map_err(|e| {
                        let (set, name) = (self.set.name(), &sample.name);
                        Error::new(e.kind(), format!("{set}, {name}: {e}"))
                    })?;
                    usable.push(sample);
                }
                Err(error) if self.skip_bad => skipped.push(Skipped {
                    name: self.set.sample_name(position),
                    reason: error.to_string(),
                }),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(usable)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
    /// The names of [`Score::others`].
    pub others: Vec<String>,
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
    /// Scores images of a set; the next batch is read meanwhile.
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
        let set = images.set;
        let mut scored = ScoredSet {
            name: set.name().to_string(),
            rows: Vec::new(),
            others: self.others(),
            skipped: Vec::new(),
            class_names: set.class_names().map(<[String]>::to_vec),
        };
        let mut done = 0;
        self.score_each_of(images, magnitude, |row| {
            match row {
                Ok(row) => scored.rows.push(row),
                Err((skipped, error)) if error.kind() == ErrorKind::Data && images.skip_bad => {
                    scored.skipped.push(skipped);
                }
                Err((Skipped { name, .. }, error)) => {
                    // An error of reading names its image.
                    let message = match error.kind() {
                        ErrorKind::Data => error.to_string(),
                        _ => format!("{}, {name}: {error}", set.name()),
                    };
                    return Err(Error::new(error.kind(), message));
                }
            }
            done += 1;
            if done % self.batch_size() == 0 || done == images.len() {
                progress(Progress::new(done, images.len()));
            }
            Ok(())
        })?;
        match scored.rows.is_empty() {
            false => Ok(scored),
            true => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{}: there is no image to score ({} of {} in the set were asked for, {} could not be read)",
                    set.name(),
                    images.len(),
                    set.len(),
                    scored.skipped.len()
                ),
            )),
        }
    }

    /// Scores images one after the other and gives each, in their order, to `each`, until that
    /// fails: with its scores, or with the reason why it has none (it does not decode, has another
    /// shape than the network takes, or gives scores that are no numbers). Memory does not grow
    /// with the number of images; the next batch is read meanwhile.
    ///
    /// # Errors
    /// Those of `each`, and when ε is negative or not finite or the engine fails.
    pub fn score_stream<E: From<Error>>(
        &self,
        images: &Images<'_>,
        magnitude: f64,
        mut each: impl FnMut(Result<Row, Skipped>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.score_each_of(images, magnitude, |row| {
            each(row.map_err(|(skipped, _)| skipped))
        })
    }

    fn score_each_of<E: From<Error>>(
        &self,
        images: &Images<'_>,
        magnitude: f64,
        mut each: impl FnMut(Outcome) -> Result<(), E>,
    ) -> Result<(), E> {
        let batch = self.batch_size();
        read_ahead(images.set, &images.positions, batch, |readings| {
            for row in self.score_readings(images.set, readings, magnitude)? {
                each(row)?;
            }
            Ok(())
        })
    }

    /// The rows of images that were read, in their order.
    fn score_readings(
        &self,
        set: &dyn DataSet,
        readings: Vec<Reading>,
        magnitude: f64,
    ) -> Result<Vec<Outcome>, Error> {
        let mut images = Vec::new();
        let mut known = Vec::new();
        for Reading { position, sample } in readings {
            let usable = sample.map_err(Error::from).and_then(|sample| {
                self.check_shape(&sample.image)?;
                images.push(sample.image);
                Ok((sample.name, sample.label))
            });
            known.push(usable.map_err(|error| skipped(set.sample_name(position), error)));
        }
        let mut scores = self.score_each(&images, magnitude)?.into_iter();
        let rows = known.into_iter().map(|known| {
            let (name, label) = known?;
            match scores.next() {
                Some(Ok(score)) => Ok(Row { name, label, score }),
                Some(Err(error)) => Err(skipped(name, error)),
                None => {
                    let error = Error::new(ErrorKind::Engine, "the engine left out an image");
                    Err(skipped(name, error))
                }
            }
        });
        Ok(rows.collect())
    }
}

/// The row of an image, or why it has none, in words and as an error.
type Outcome = Result<Row, (Skipped, Error)>;

fn skipped(name: String, error: Error) -> (Skipped, Error) {
    let reason = error.to_string();
    (Skipped { name, reason }, error)
}
