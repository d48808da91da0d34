//! ODIN at a grid of temperatures and magnitudes, which share forward and backward passes.

use super::backend::Backend;
use super::collect::usable;
use super::detector::{DetectorBuilder, Scorers};
use super::run::{ImageError, Progress};
use super::score::{argmax, max_probability};
use crate::input::{Batches, InputPipeline};
use crate::model::add_needed;
use crate::{Error, ErrorKind, Images, Precision, Setting};
use odin_cpu::{Output, WeightCache};
use odin_data::Image;
use odin_graph::odin::{Probabilities, directions, temperature_name};
use odin_scores::{Needs, Observation};
use std::fmt;

/// Temperatures and magnitudes, each with each.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    temperatures: Vec<f64>,
    magnitudes: Vec<f64>,
    precision: Precision,
}

/// The largest grid: more settings are a typing error, and would exhaust memory.
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
            precision: Precision::Exact,
        };
        let (temperatures, magnitudes) = (grid.temperatures.len(), grid.magnitudes.len());
        match temperatures.saturating_mul(magnitudes) {
            0 => Err(invalid("a grid needs a temperature and a magnitude")),
            1..=MAX_SETTINGS => {
                grid.settings()
                    .into_iter()
                    .try_for_each(|s| s.check().map(drop))?;
                Ok(grid)
            }
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
            precision: Precision::Exact,
        }
    }

    /// Of values that are known to be in their ranges.
    pub(crate) fn each_with_each(temperatures: &[f64], magnitudes: &[f64]) -> Self {
        Self {
            temperatures: ascending(temperatures),
            magnitudes: ascending(magnitudes),
            precision: Precision::Exact,
        }
    }

    /// The same in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
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

    /// That of all settings; [`Precision::Exact`] unless set.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// All settings, the magnitudes of the lowest temperature first.
    pub fn settings(&self) -> Vec<Setting> {
        let of_temperature = |&temperature: &f64| {
            let magnitudes = self.magnitudes.iter();
            magnitudes.map(move |&magnitude| Setting {
                temperature,
                magnitude,
                precision: self.precision,
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
    directions: Backend,
    /// From images to logits.
    forward: Backend,
    input: InputPipeline,
    classes: usize,
    probabilities: Probabilities,
    batch_size: usize,
    threads: usize,
    precision: Precision,
    settings: Vec<Setting>,
    /// For each setting, which direction its images move in; `None` where they do not move.
    moves: Vec<Option<usize>>,
    scorers: Scorers,
    /// What they read beside the logits.
    needs: Needs,
    /// The temperatures for which a direction is needed, as inputs of the graph.
    temperatures: Vec<(String, [f32; 1])>,
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep")
            .field("settings", &self.settings)
            .field("scorers", &self.scorers)
            .finish_non_exhaustive()
    }
}

impl DetectorBuilder {
    /// Prepares the network to be run at many settings. The builder's scores take part, its own
    /// setting and i-ODIN do not.
    ///
    /// # Errors
    /// As [`DetectorBuilder::build`], and when the settings have different precisions.
    pub fn sweep(mut self, settings: &[Setting]) -> Result<Sweep, Error> {
        self.cache = None;
        for setting in settings {
            setting.check()?;
        }
        let precision = one_precision(settings)?;
        let moving = settings.iter().filter(|setting| setting.magnitude > 0.0);
        let temperatures: Vec<f64> = moving.map(|setting| setting.temperature).collect();
        let temperatures = ascending(&temperatures);
        let direction = |setting: &Setting| {
            let of_temperature = temperatures.iter().position(|&t| t == setting.temperature);
            of_temperature.filter(|_| setting.magnitude > 0.0)
        };
        let needs = self.needs()?;
        let features = self.features(needs)?;
        let graph = self.classifier.graph();
        let probabilities = self.classifier.probabilities();
        let mut gradients = directions(graph, temperatures.len(), features, probabilities)?;
        add_needed(&mut gradients, &self.classifier, needs)?;
        let weights = WeightCache::default();
        Ok(Sweep {
            directions: Backend::with_weights(&gradients, &self.engine, precision, &weights)?,
            forward: Backend::with_weights(graph, &self.engine, precision, &weights)?,
            input: InputPipeline::of(&self.classifier),
            classes: self.classifier.classes(),
            probabilities,
            batch_size: self.engine.batch_size,
            threads: self.engine.threads,
            precision,
            settings: settings.to_vec(),
            moves: settings.iter().map(direction).collect(),
            scorers: self.scorers,
            needs,
            temperatures: temperatures
                .iter()
                .enumerate()
                .map(|(i, &t)| (temperature_name(i), [t as f32]))
                .collect(),
        })
    }
}

impl Sweep {
    /// The settings, in the order of the scores.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// That of all settings.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What the network's products are computed with, those of the gradient among them, such as
    /// `AVX-512`; `None` where ONNX Runtime runs it.
    pub fn instructions(&self) -> Option<String> {
        self.directions.instructions()
    }

    /// Why scores of the builder are not to be trusted, as [`Detector::warnings`] says.
    ///
    /// [`Detector::warnings`]: crate::Detector::warnings
    pub fn warnings(&self) -> Vec<String> {
        odin_scores::warnings(&self.scorers.fitted)
    }

    /// Passes per image.
    pub fn passes(&self) -> Passes {
        let moving = self.settings.iter().filter(|s| s.magnitude > 0.0);
        Passes {
            forward: 1 + moving.count(),
            backward: self.temperatures.len(),
        }
    }

    /// Passes per image if each setting were a run of its own.
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
        images: &Images,
        mut progress: impl FnMut(Progress),
    ) -> Result<SweepScores, Error> {
        let mut scores = SweepScores {
            name: images.name().to_string(),
            settings: self.settings.clone(),
            msp: Vec::new(),
            odin: vec![Vec::new(); self.settings.len()],
            other_names: self.scorers.iter().map(|s| s.name().to_string()).collect(),
            others: vec![Vec::new(); self.scorers.iter().count()],
            predictions: Vec::new(),
            labels: Vec::new(),
            class_names: images.class_names().map(<[String]>::to_vec),
            skipped: Vec::new(),
        };
        let mut batches = Batches::new(images, self.batch_size, self.threads);
        let mut done = 0;
        while let Some(readings) = batches.next_batch() {
            done += readings.len();
            let samples = usable(images, readings, &self.input, &mut scores.skipped)?;
            let (labels, batch): (Vec<_>, Vec<Image>) =
                samples.into_iter().map(|s| (s.label, s.image)).unzip();
            scores.labels.extend(labels);
            self.score(&batch, &mut scores)
                .map_err(|e| e.about(images.name()))?;
            progress(Progress::new(done, images.len()));
        }
        match scores.msp.is_empty() {
            false => Ok(scores),
            true => Err(images.none_left(&scores.skipped)),
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
            feature_map,
            shifted_features,
        } = self.clean(images.len(), &pixels)?;
        let score = |logits: &[f32], temperature: f64| -> Result<Vec<f64>, Error> {
            let rows = logits.chunks_exact(self.classes);
            let score = |row| max_probability(row, temperature, self.probabilities);
            let scores: Vec<f64> = rows.map(score).collect();
            match scores.iter().all(|score| score.is_finite()) {
                true => Ok(scores),
                false => Err(Error::new(
                    ErrorKind::NotFinite,
                    "the network's logits of an image are not finite numbers; check the weights, the normalisation and the largest magnitude",
                )),
            }
        };
        scores.msp.extend(score(&clean, 1.0)?);
        let of_image = |values: &'_ [f32], i: usize| {
            let width = values.len() / images.len();
            i * width..(i + 1) * width
        };
        let observation = |(i, logits)| {
            Observation::new(logits)
                .with_features(&features[of_image(&features, i)])
                .with_feature_map(&feature_map[of_image(&feature_map, i)])
                .with_shifted_features(&shifted_features[of_image(&shifted_features, i)])
        };
        let rows = || clean.chunks_exact(self.classes);
        scores.predictions.extend(rows().map(argmax));
        let observations: Vec<_> = rows().enumerate().map(observation).collect();
        for (scorer, column) in self.scorers.iter().zip(&mut scores.others) {
            let mut own = scorer.score_batch(&observations);
            own.resize(observations.len(), f64::NAN);
            column.extend(own);
        }
        let mut perturbed = Vec::with_capacity(pixels.len());
        let settings = self.settings.iter().zip(&self.moves);
        for ((setting, direction), column) in settings.zip(&mut scores.odin) {
            let Some(direction) = direction.and_then(|i| directions.get(i)) else {
                column.extend(score(&clean, setting.temperature)?);
                continue;
            };
            let step = self.input.step(setting.magnitude);
            perturbed.clear();
            let width = self.input.len();
            let pairs = pixels
                .chunks_exact(width)
                .zip(direction.chunks_exact(width));
            for (x, direction) in pairs {
                self.input.perturb(x, direction, &step, &mut perturbed);
            }
            let inputs = [(self.input.name.as_str(), &perturbed[..])];
            let [Output::Float(logits)] = &self.forward.run(images.len(), &inputs)?[..] else {
                return Err(left_out());
            };
            column.extend(score(logits, setting.temperature)?);
        }
        Ok(())
    }

    /// What all settings share.
    fn clean(&self, images: usize, pixels: &[f32]) -> Result<Clean, Error> {
        let temperatures = self.temperatures.iter();
        let temperatures = temperatures.map(|(name, t)| (name.as_str(), &t[..]));
        let mut inputs = vec![(self.input.name.as_str(), pixels)];
        inputs.extend(temperatures);
        let mut outputs = self.directions.run(images, &inputs)?.into_iter();
        let mut next = || match outputs.next() {
            Some(Output::Float(values)) => Ok(values),
            _ => Err(left_out()),
        };
        let logits = next()?;
        let directions = self.temperatures.iter().map(|_| next());
        let directions = directions.collect::<Result<_, _>>()?;
        let mut if_needed = |needed: bool| match needed {
            true => next(),
            false => Ok(Vec::new()),
        };
        Ok(Clean {
            logits,
            directions,
            features: if_needed(self.needs.features)?,
            feature_map: if_needed(self.needs.feature_map)?,
            shifted_features: if_needed(self.needs.shift.is_some())?,
        })
    }
}

/// What does not depend on the magnitude, of a batch.
struct Clean {
    logits: Vec<f32>,
    /// For each temperature.
    directions: Vec<Vec<f32>>,
    /// Empty where no score needs them, as those that follow.
    features: Vec<f32>,
    feature_map: Vec<f32>,
    shifted_features: Vec<f32>,
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
    /// The names of the builder's scores.
    pub other_names: Vec<String>,
    /// For each of the builder's scores, that of every image.
    pub others: Vec<Vec<f64>>,
    /// The predicted class of every image.
    pub predictions: Vec<usize>,
    /// The true class of every image, where the set knows it.
    pub labels: Vec<Option<usize>>,
    /// The names of the classes that labels index, where the set has them.
    pub class_names: Option<Vec<String>>,
    /// The images left out.
    pub skipped: Vec<ImageError>,
}

impl SweepScores {
    /// Adds the images of another set, scored at the same settings.
    ///
    /// # Errors
    /// When the settings or the scores differ.
    pub fn append(&mut self, other: Self) -> Result<(), Error> {
        if self.settings != other.settings || self.other_names != other.other_names {
            return Err(invalid(format!(
                "{} and {} were not scored alike",
                self.name, other.name
            )));
        }
        self.msp.extend(other.msp);
        self.predictions.extend(other.predictions);
        self.labels.extend(other.labels);
        self.skipped.extend(other.skipped);
        let columns = self.odin.iter_mut().chain(&mut self.others);
        for (own, other) in columns.zip(other.odin.into_iter().chain(other.others)) {
            own.extend(other);
        }
        Ok(())
    }
}

/// The precision of all settings.
fn one_precision(settings: &[Setting]) -> Result<Precision, Error> {
    let mut precisions = settings.iter().map(|setting| setting.precision);
    let first = precisions.next().unwrap_or_default();
    match precisions.all(|precision| precision == first) {
        true => Ok(first),
        false => Err(invalid(
            "the settings have different precisions, which no passes can share; run each precision by itself",
        )),
    }
}

fn left_out() -> Error {
    Error::new(ErrorKind::Engine, "the engine left out an output of ODIN")
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
