//! ODIN at many temperatures and magnitudes, with everything shared that can be.

use crate::detector::{Parts, check_magnitude, check_temperature, max_softmax, needs_features};
use crate::engine::Engine;
use crate::network_input::NetworkInput;
use crate::reading::read_ahead;
use crate::{DetectorBuilder, Error, ErrorKind, Images, Progress, Skipped};
use odin_cpu::{Output, WeightCache};
use odin_data::Image;
use odin_graph::odin::{directions, temperature_name};
use odin_scores::{Observation, Scorer};
use std::fmt;
use std::sync::Arc;

/// One temperature and one magnitude.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// The temperature T of both the perturbation and the score.
    pub temperature: f64,
    /// The magnitude ε of the perturbation, on the [0, 1] pixel scale.
    pub magnitude: f64,
}

/// Temperatures and magnitudes, each with each.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    temperatures: Vec<f64>,
    magnitudes: Vec<f64>,
}

/// More settings than this are a slip of the hand, and take all memory.
const MAX_SETTINGS: usize = 100_000;

impl Grid {
    /// Both in ascending order, whatever order they come in; repetitions count once.
    ///
    /// # Errors
    /// When there is no temperature or no magnitude, or one is out of its range.
    pub fn new(temperatures: &[f64], magnitudes: &[f64]) -> Result<Self, Error> {
        let grid = Self {
            temperatures: ascending(temperatures),
            magnitudes: ascending(magnitudes),
        };
        temperatures
            .iter()
            .try_for_each(|&t| check_temperature(t))?;
        magnitudes.iter().try_for_each(|&e| check_magnitude(e))?;
        match grid
            .temperatures
            .len()
            .saturating_mul(grid.magnitudes.len())
        {
            0 => Err(invalid("a grid needs a temperature and a magnitude")),
            1..=MAX_SETTINGS => Ok(grid),
            count => Err(invalid(format!(
                "a grid of {count} settings is too large; there may be {MAX_SETTINGS}"
            ))),
        }
    }

    /// The grid of the paper: T in {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000} and 21 evenly spaced
    /// ε in [0, 0.004] (ICLR 2018, section 4.2).
    pub fn paper() -> Self {
        Self {
            temperatures: Self::PAPER_TEMPERATURES.to_vec(),
            magnitudes: (0..=20).map(|i| f64::from(i) * 2.0 / 10_000.0).collect(),
        }
    }

    /// The temperatures of the paper.
    pub const PAPER_TEMPERATURES: [f64; 10] =
        [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

    /// Ascending.
    pub fn temperatures(&self) -> &[f64] {
        &self.temperatures
    }

    /// Ascending.
    pub fn magnitudes(&self) -> &[f64] {
        &self.magnitudes
    }

    /// All settings, the magnitudes of the lowest temperature first.
    pub fn settings(&self) -> Vec<Setting> {
        let of_temperature = |&temperature: &f64| {
            let magnitudes = self.magnitudes.iter();
            magnitudes.map(move |&magnitude| Setting {
                temperature,
                magnitude,
            })
        };
        self.temperatures.iter().flat_map(of_temperature).collect()
    }
}

fn ascending(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// Passes through a network, for each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passes {
    /// Passes from images to logits.
    pub forward: usize,
    /// Passes back to the images.
    pub backward: usize,
}

impl Passes {
    /// Both together.
    pub fn total(&self) -> usize {
        self.forward + self.backward
    }
}

/// A classifier with ODIN built into it at many settings at once. One clean forward pass serves
/// all of them, one backward pass all of a temperature; where ε is 0 there is no other pass.
pub struct Sweep {
    /// From images to logits and the direction for each temperature.
    directions: Engine,
    /// From images to logits.
    forward: Engine,
    input: NetworkInput,
    classes: usize,
    batch_size: usize,
    settings: Vec<Setting>,
    scorers: Vec<Arc<dyn Scorer>>,
    /// The temperatures for which a direction is needed.
    temperatures: Vec<f64>,
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep")
            .field("settings", &self.settings)
            .field("scorers", &self.scorers)
            .finish_non_exhaustive()
    }
}

impl DetectorBuilder<'_> {
    /// Prepares the network to be run at many settings. The builder's scorers take part, its own
    /// temperature and i-ODIN do not.
    ///
    /// # Errors
    /// As [`DetectorBuilder::build`].
    pub fn sweep(self, settings: &[Setting]) -> Result<Sweep, Error> {
        for setting in settings {
            check_temperature(setting.temperature)?;
            check_magnitude(setting.magnitude)?;
        }
        let moving = settings.iter().filter(|setting| setting.magnitude > 0.0);
        let temperatures: Vec<f64> = moving.map(|setting| setting.temperature).collect();
        let temperatures = ascending(&temperatures);
        let Parts {
            classifier,
            engine,
            batch_size,
            scorers,
            features,
        } = self.into_parts()?;
        let gradients = directions(classifier.graph(), temperatures.len(), features)?;
        let weights = WeightCache::default();
        Ok(Sweep {
            directions: Engine::with_weights(&gradients, &engine, &weights)?,
            forward: Engine::with_weights(classifier.graph(), &engine, &weights)?,
            input: NetworkInput::of(classifier),
            classes: classifier.classes(),
            batch_size,
            settings: settings.to_vec(),
            scorers,
            temperatures,
        })
    }
}

impl Sweep {
    /// The settings, in the order of the scores.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// What an image takes.
    pub fn passes(&self) -> Passes {
        let moving = self.settings.iter().filter(|s| s.magnitude > 0.0);
        Passes {
            forward: 1 + moving.count(),
            backward: self.temperatures.len(),
        }
    }

    /// What an image would take, if each setting was a run of its own.
    pub fn passes_apart(&self) -> Passes {
        Passes {
            forward: 2 * self.settings.len(),
            backward: self.settings.len(),
        }
    }

    /// Scores images of a set at every setting, reading ahead.
    ///
    /// # Errors
    /// As [`Detector::score_set`](crate::Detector::score_set).
    pub fn score_set(
        &self,
        images: &Images<'_>,
        mut progress: impl FnMut(Progress),
    ) -> Result<SweepScores, Error> {
        let set = images.set;
        let mut scores = SweepScores {
            name: set.name().to_string(),
            settings: self.settings.clone(),
            msp: Vec::new(),
            odin: vec![Vec::new(); self.settings.len()],
            others: vec![Vec::new(); self.scorers.len()],
            skipped: Vec::new(),
        };
        let mut done = 0;
        read_ahead(set, &images.positions, self.batch_size, |readings| {
            done += readings.len();
            let samples = images.usable(readings, &self.input, &mut scores.skipped)?;
            let batch: Vec<Image> = samples.into_iter().map(|sample| sample.image).collect();
            self.score(&batch, &mut scores)
                .map_err(|e| Error::new(e.kind(), format!("{}: {e}", set.name())))?;
            progress(Progress::new(done, images.len()));
            Ok::<(), Error>(())
        })?;
        match scores.msp.is_empty() {
            false => Ok(scores),
            true => Err(Error::new(
                ErrorKind::Data,
                format!("{}: there is no image to score", set.name()),
            )),
        }
    }

    fn score(&self, images: &[Image], scores: &mut SweepScores) -> Result<(), Error> {
        if images.is_empty() {
            return Ok(());
        }
        let pixels = self.input.normalize(images)?;
        let Clean {
            logits: clean,
            directions,
            features,
        } = self.clean(images.len(), &pixels)?;
        let score = |logits: &[f32], temperature: f64| -> Result<Vec<f64>, Error> {
            let rows = logits.chunks_exact(self.classes);
            let scores: Vec<f64> = rows.map(|row| max_softmax(row, temperature)).collect();
            match scores.iter().all(|score| score.is_finite()) {
                true => Ok(scores),
                false => Err(Error::new(
                    ErrorKind::NotFinite,
                    "the network's logits of an image are not finite numbers; check the weights, the normalisation and the largest magnitude",
                )),
            }
        };
        scores.msp.extend(score(&clean, 1.0)?);
        let width = features.len() / images.len();
        for (i, logits) in clean.chunks_exact(self.classes).enumerate() {
            let features = &features[i * width..][..width];
            let observation = Observation { logits, features };
            for (scorer, column) in self.scorers.iter().zip(&mut scores.others) {
                column.push(scorer.score(&observation));
            }
        }
        let mut perturbed = Vec::with_capacity(pixels.len());
        for (setting, column) in self.settings.iter().zip(&mut scores.odin) {
            let Setting {
                temperature,
                magnitude,
            } = *setting;
            let direction = self.temperatures.iter().position(|&t| t == temperature);
            let direction = direction.filter(|_| magnitude > 0.0);
            let Some(direction) = direction.and_then(|i| directions.get(i)) else {
                column.extend(score(&clean, temperature)?);
                continue;
            };
            let step = self.input.step(magnitude);
            perturbed.clear();
            let width = self.input.len();
            for (x, direction) in pixels
                .chunks_exact(width)
                .zip(direction.chunks_exact(width))
            {
                self.input.perturb(x, direction, &step, &mut perturbed);
            }
            let inputs = [(self.input.name.as_str(), &perturbed[..])];
            let [Output::Float(logits)] = &self.forward.run(images.len(), &inputs)?[..] else {
                return Err(left_out());
            };
            column.extend(score(logits, temperature)?);
        }
        Ok(())
    }

    /// What all settings share.
    fn clean(&self, images: usize, pixels: &[f32]) -> Result<Clean, Error> {
        let names = (0..self.temperatures.len()).map(temperature_name);
        let temperatures = self.temperatures.iter().map(|&t| [t as f32]);
        let temperatures: Vec<(String, [f32; 1])> = names.zip(temperatures).collect();
        let mut inputs = vec![(self.input.name.as_str(), pixels)];
        inputs.extend(temperatures.iter().map(|(name, t)| (name.as_str(), &t[..])));
        let mut outputs = self.directions.run(images, &inputs)?.into_iter();
        let mut next = || match outputs.next() {
            Some(Output::Float(values)) => Ok(values),
            _ => Err(left_out()),
        };
        Ok(Clean {
            logits: next()?,
            directions: self
                .temperatures
                .iter()
                .map(|_| next())
                .collect::<Result<_, _>>()?,
            features: match needs_features(&self.scorers) {
                true => next()?,
                false => Vec::new(),
            },
        })
    }
}

/// What does not depend on the magnitude, of a batch.
struct Clean {
    logits: Vec<f32>,
    /// For each temperature.
    directions: Vec<Vec<f32>>,
    /// Empty where no score needs them.
    features: Vec<f32>,
}

/// A set scored at many settings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SweepScores {
    /// The name of the set.
    pub name: String,
    /// The settings.
    pub settings: Vec<Setting>,
    /// The baseline of every image.
    pub msp: Vec<f64>,
    /// For each setting, the ODIN score of every image.
    pub odin: Vec<Vec<f64>>,
    /// For each of the builder's scorers, the score of every image.
    pub others: Vec<Vec<f64>>,
    /// The images left out.
    pub skipped: Vec<Skipped>,
}

impl SweepScores {
    /// Adds the images of another set, scored at the same settings.
    ///
    /// # Errors
    /// When the settings or the number of scorers differ.
    pub fn append(&mut self, other: Self) -> Result<(), Error> {
        if self.settings != other.settings || self.others.len() != other.others.len() {
            return Err(invalid(format!(
                "{} and {} were not scored alike",
                self.name, other.name
            )));
        }
        self.msp.extend(other.msp);
        self.skipped.extend(other.skipped);
        let columns = self.odin.iter_mut().chain(&mut self.others);
        for (own, other) in columns.zip(other.odin.into_iter().chain(other.others)) {
            own.extend(other);
        }
        Ok(())
    }
}

fn left_out() -> Error {
    Error::new(ErrorKind::Engine, "the engine left out an output of ODIN")
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
