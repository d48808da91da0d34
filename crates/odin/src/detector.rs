use crate::detector_file::Outcome;
use crate::engine::{self, Engine};
use crate::network_input::NetworkInput;
use crate::{Classifier, Device, Error, ErrorKind};
use odin_cpu::{Output, Program};
use odin_data::Image;
use odin_graph::linear_head;
use odin_graph::odin::{Extras, names, transform_with};
use odin_scores::{Observation, Scorer};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the detector says of one image. All scores are high for in-distribution images.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The predicted class: argmax of the logits.
    pub prediction: usize,
    /// The baseline: the maximum softmax probability at T = 1.
    pub msp: f64,
    /// The ODIN score: the maximum softmax probability at temperature T of the perturbed
    /// image.
    pub odin: f64,
    /// Further scores, in the order of [`Detector::others`].
    pub others: Vec<f64>,
}

/// A classifier with ODIN built into it, ready to score images.
pub struct Detector {
    engine: Engine,
    device: Device,
    input: NetworkInput,
    classes: usize,
    temperature: f64,
    batch_size: usize,
    scorers: Vec<Arc<dyn Scorer>>,
    i_odin: bool,
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("device", &self.device)
            .field("input", &self.input)
            .field("classes", &self.classes)
            .field("temperature", &self.temperature)
            .field("batch_size", &self.batch_size)
            .field("others", &self.others())
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Detector`].
#[derive(Debug)]
#[must_use = "settings do nothing until `build` is called"]
pub struct DetectorBuilder<'a> {
    classifier: &'a Classifier,
    temperature: f64,
    engine: engine::Settings,
    batch_size: usize,
    scorers: Vec<Arc<dyn Scorer>>,
    i_odin: bool,
}

impl<'a> DetectorBuilder<'a> {
    /// The temperature T of both the perturbation and the score; 1000 unless set.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// How many threads work at once; 1 unless set. The scores of the built-in engine do not
    /// depend on it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.engine.threads = threads;
        self
    }

    /// Where the network runs; on the CPU, by the built-in engine, unless set.
    pub fn device(mut self, device: Device) -> Self {
        self.engine.device = device;
        self
    }

    /// Where the library of ONNX Runtime may be: the first file that can be used is loaded. Only
    /// devices that need it read this; without it they fail.
    pub fn onnx_runtime(mut self, libraries: impl IntoIterator<Item = PathBuf>) -> Self {
        self.engine.libraries = libraries.into_iter().collect();
        self
    }

    /// How many images of a set are read before they are scored; 32 unless set. The scores of the
    /// built-in engine do not depend on it.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Other scores to compute beside ODIN, from the same forward pass; none unless set.
    pub fn scorers(mut self, scorers: impl IntoIterator<Item = Arc<dyn Scorer>>) -> Self {
        self.scorers = scorers.into_iter().collect();
        self
    }

    /// Whether i-ODIN is computed, too: only the coordinate of the largest gradient moves, by ε.
    /// This takes another forward pass. Not unless set.
    pub fn i_odin(mut self, i_odin: bool) -> Self {
        self.i_odin = i_odin;
        self
    }

    /// Prepares the network.
    ///
    /// # Errors
    /// When a setting is out of its range, an operator of the network has no gradient, or the
    /// device is not there. No other device steps in for one that is not.
    pub fn build(self) -> Result<Detector, Error> {
        let t = self.temperature;
        check_temperature(t)?;
        let i_odin = self.i_odin;
        let Parts {
            classifier,
            engine,
            batch_size,
            scorers,
            features,
        } = self.into_parts()?;
        let extras = Extras {
            features,
            largest_coordinate: i_odin,
            ..Extras::default()
        };
        let axis = classifier.layout().channel_axis();
        let graph = transform_with(classifier.graph(), axis, extras)?;
        Ok(Detector {
            engine: Engine::new(&graph, &engine)?,
            device: engine.device,
            input: NetworkInput::of(classifier),
            classes: classifier.classes(),
            temperature: t,
            batch_size,
            scorers,
            i_odin,
        })
    }

    pub(crate) fn into_parts(self) -> Result<Parts<'a>, Error> {
        if self.batch_size == 0 {
            return Err(invalid("the batch size must be at least 1"));
        }
        let features = match needs_features(&self.scorers) {
            true => Some(features(self.classifier)?),
            false => None,
        };
        Ok(Parts {
            classifier: self.classifier,
            engine: self.engine,
            batch_size: self.batch_size,
            scorers: self.scorers,
            features,
        })
    }
}

/// What a builder says, checked.
pub(crate) struct Parts<'a> {
    pub(crate) classifier: &'a Classifier,
    pub(crate) engine: engine::Settings,
    pub(crate) batch_size: usize,
    pub(crate) scorers: Vec<Arc<dyn Scorer>>,
    /// The input of the last linear layer, where a scorer needs it.
    pub(crate) features: Option<odin_graph::ValueId>,
}

pub(crate) fn needs_features(scorers: &[Arc<dyn Scorer>]) -> bool {
    scorers.iter().any(|scorer| scorer.needs_features())
}

/// The input of the last linear layer.
pub(crate) fn features(classifier: &Classifier) -> Result<odin_graph::ValueId, Error> {
    let head = linear_head(classifier.graph());
    let head = head.map_err(|reason| {
        let name = &classifier.file().name;
        let message = format!(
            "{name}: scores from the input of the last linear layer cannot be computed: {reason}; choose others"
        );
        Error::new(ErrorKind::Classifier, message)
    })?;
    Ok(head.features)
}

impl Detector {
    /// A detector for this classifier at T = 1000.
    pub fn builder(classifier: &Classifier) -> DetectorBuilder<'_> {
        DetectorBuilder {
            classifier,
            temperature: 1000.0,
            engine: engine::Settings::default(),
            batch_size: 32,
            scorers: Vec::new(),
            i_odin: false,
        }
    }

    /// The temperature T.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The program that runs it and its version, such as `ONNX Runtime 1.32`.
    pub fn engine(&self) -> String {
        self.engine.name()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The names of the scores that it computes beside ODIN and the baseline: i-ODIN, where it is
    /// asked for, and those of [`DetectorBuilder::scorers`].
    pub fn others(&self) -> Vec<String> {
        let i_odin = self.i_odin.then_some(I_ODIN).into_iter();
        let scorers = self.scorers.iter().map(|scorer| scorer.name());
        i_odin.chain(scorers).map(str::to_string).collect()
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Scores images, perturbing each by ε = `magnitude`, in units of the [0, 1] pixel scale.
    ///
    /// # Errors
    /// When ε is negative or not finite, an image has not the shape that the network takes, or
    /// a score is not a number.
    pub fn score(&self, images: &[Image], magnitude: f64) -> Result<Vec<Score>, Error> {
        let scores = self.score_each(images, magnitude)?.into_iter().enumerate();
        scores
            .map(|(i, score)| score.map_err(|e| of_batch(i, &e)))
            .collect()
    }

    /// As [`Detector::score`], with the logits.
    pub(crate) fn run(&self, images: &[Image], magnitude: f64) -> Result<Vec<Outcome>, Error> {
        let observed = self.observe(images, magnitude)?.into_iter().enumerate();
        let outcomes = observed.map(|(i, observed)| {
            let score = self
                .judge(&observed, magnitude)
                .map_err(|e| of_batch(i, &e))?;
            Ok(Outcome {
                logits: observed.logits,
                prediction: score.prediction,
                msp: score.msp,
                odin: score.odin,
            })
        });
        outcomes.collect()
    }

    /// As [`Detector::score`], with what is wrong with each image apart.
    pub(crate) fn score_each(
        &self,
        images: &[Image],
        magnitude: f64,
    ) -> Result<Vec<Result<Score, Error>>, Error> {
        let observed = self.observe(images, magnitude)?;
        let scores = observed
            .iter()
            .map(|observed| self.judge(observed, magnitude));
        Ok(scores.collect())
    }

    /// What the network gives for each image.
    fn observe(&self, images: &[Image], magnitude: f64) -> Result<Vec<Observed>, Error> {
        check_magnitude(magnitude)?;
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.input.normalize(images)?;
        let temperature = [self.temperature as f32];
        let step = self.input.step(magnitude);
        let inputs = [
            (self.input.name.as_str(), &batch[..]),
            (names::TEMPERATURE, &temperature[..]),
            (names::STEP, &step[..]),
        ];
        let mut outputs = self.engine.run(images.len(), &inputs)?.into_iter();
        let (
            Some(Output::Float(logits)),
            Some(Output::Int(predictions)),
            Some(Output::Float(perturbed)),
        ) = (outputs.next(), outputs.next(), outputs.next())
        else {
            return Err(Error::new(
                ErrorKind::Engine,
                "the engine left out an output of ODIN",
            ));
        };
        let mut next = |wanted: bool| match wanted.then(|| outputs.next()).flatten() {
            Some(Output::Float(values)) => values,
            _ => Vec::new(),
        };
        let features = next(needs_features(&self.scorers));
        let nudged = next(self.i_odin);
        let part = |values: &[f32], i: usize| {
            let width = values.len() / images.len();
            values[i * width..][..width].to_vec()
        };
        let observed = predictions
            .iter()
            .enumerate()
            .map(|(i, &prediction)| Observed {
                prediction: prediction as usize,
                logits: part(&logits, i),
                perturbed: part(&perturbed, i),
                features: part(&features, i),
                nudged: part(&nudged, i),
            });
        Ok(observed.collect())
    }

    /// The scores of an image.
    fn judge(&self, observed: &Observed, magnitude: f64) -> Result<Score, Error> {
        let observation = Observation {
            logits: &observed.logits,
            features: &observed.features,
        };
        let nudged = Some(&observed.nudged).filter(|_| self.i_odin);
        let i_odin = nudged.map(|logits| max_softmax(logits, self.temperature));
        let scorers = self.scorers.iter().map(|s| s.score(&observation));
        let score = Score {
            prediction: observed.prediction,
            msp: max_softmax(&observed.logits, 1.0),
            odin: max_softmax(&observed.perturbed, self.temperature),
            others: i_odin.into_iter().chain(scorers).collect(),
        };
        let problem = if !score.msp.is_finite() {
            "the network's logits are not finite numbers; check the weights and the normalisation"
                .to_string()
        } else if !(score.odin.is_finite() && i_odin.is_none_or(f64::is_finite)) {
            format!(
                "the network's logits of the perturbed image are not finite numbers; the magnitude {magnitude} is too large"
            )
        } else if let Some(i) = score.others.iter().position(|score| !score.is_finite()) {
            let (name, value) = (&self.others()[i], score.others[i]);
            format!("the score {name} is {value}, which is no number to compare")
        } else {
            return Ok(score);
        };
        Err(Error::new(ErrorKind::NotFinite, problem))
    }

    /// The program that the built-in engine has made of the network with ODIN built in; `None`
    /// where another engine runs it.
    pub fn program(&self) -> Option<Program> {
        self.engine.built_in().map(odin_cpu::Engine::program)
    }

    /// How long each step of [`Detector::program`] takes for an image that all threads share: the
    /// shortest of some repetitions. `clock` gives the time since some fixed moment.
    ///
    /// # Errors
    /// When another engine runs the network, or as [`Detector::score`].
    pub fn step_times(
        &self,
        image: &Image,
        magnitude: f64,
        repetitions: usize,
        clock: &(dyn Fn() -> Duration + Sync),
    ) -> Result<Vec<Duration>, Error> {
        let engine = self.engine.built_in().ok_or_else(|| {
            invalid("only the built-in engine tells how long its steps take; use --device cpu")
        })?;
        let pixels = self.input.normalize(std::slice::from_ref(image))?;
        let temperature = [self.temperature as f32];
        let step = self.input.step(magnitude);
        let inputs = [
            (self.input.name.as_str(), &pixels[..]),
            (names::TEMPERATURE, &temperature[..]),
            (names::STEP, &step[..]),
        ];
        Ok(engine.times(&inputs, repetitions, clock)?)
    }

    /// Whether an image has the shape that the network takes.
    ///
    /// # Errors
    /// When it has not; the message gives both.
    pub fn check_shape(&self, image: &Image) -> Result<(), Error> {
        self.input.check_shape(image)
    }
}

/// The name of i-ODIN, as options and columns spell it.
pub(crate) const I_ODIN: &str = "i-odin";

/// What the network gives for one image.
struct Observed {
    prediction: usize,
    logits: Vec<f32>,
    /// Of the perturbed image.
    perturbed: Vec<f32>,
    /// The input of the last linear layer; empty where no score needs it.
    features: Vec<f32>,
    /// The logits of the image of which one coordinate moved; empty where nobody asks for them.
    nudged: Vec<f32>,
}

fn of_batch(i: usize, error: &Error) -> Error {
    Error::new(error.kind(), format!("image {i} of the batch: {error}"))
}

/// The network computes with T as `f32`.
pub(crate) fn check_temperature(t: f64) -> Result<(), Error> {
    match (t as f32).is_finite() && t as f32 > 0.0 {
        true => Ok(()),
        false => Err(invalid(format!(
            "the temperature must be positive and finite, it is {t}"
        ))),
    }
}

pub(crate) fn check_magnitude(magnitude: f64) -> Result<(), Error> {
    match magnitude.is_finite() && magnitude >= 0.0 {
        true => Ok(()),
        false => Err(invalid(format!(
            "the magnitude must be a number from 0, it is {magnitude}"
        ))),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// `max_i softmax(z / T)_i`, in f64: at T = 1000 the scores of a set span a thousandth, which
/// f32 cannot tell apart.
pub(crate) fn max_softmax(logits: &[f32], temperature: f64) -> f64 {
    let scaled = || logits.iter().map(|&z| f64::from(z) / temperature);
    let max = scaled().fold(f64::NEG_INFINITY, f64::max);
    1.0 / scaled().map(|z| (z - max).exp()).sum::<f64>()
}
