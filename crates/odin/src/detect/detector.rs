//! A classifier with ODIN built into it, which scores images at one setting.

use super::backend::{Backend, Device, EngineOptions};
use super::cache::{Kind, OutputCache, Outputs, network_key, of_images, shift_key};
use super::gpu_program::GpuProgram;
use super::score::{argmax, max_probability};
use super::statistics::{restore_statistics, statistics_to_bytes};
use crate::input::InputPipeline;
use crate::model::{add_needed, features};
use crate::names::{I_ODIN, MSP, ODIN};
use crate::{Classifier, Error, ErrorKind, Images, Score, Setting};
use odin_cpu::{Output, Program};
use odin_data::Image;
use odin_graph::ValueId;
use odin_graph::odin::{Extras, forward, names, transform_with};
use odin_scores::{Fitted, Method, Needs, Observation, Parameters, Scorer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A classifier with ODIN built into it, ready to score images at its [`Setting`].
///
/// ```
/// # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
/// use odin::{Classifier, ClassifierOptions, Detector, Setting};
///
/// let model = demo.join("model.safetensors");
/// let classifier = Classifier::open(model, ClassifierOptions::default())?;
/// let detector = Detector::builder(&classifier)
///     .setting(Setting::new(1000.0, 0.005)?)
///     .threads(2)
///     .build()?;
/// let images = detector.open_images(demo.join("near.npy"))?.range(0..3);
/// for row in detector.rows(&images) {
///     let row = row?;
///     println!("{}: class {}, MSP {}", row.name, row.score.prediction, row.score.msp());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Detector {
    engine: Arc<Backend>,
    /// The names of the engine's outputs.
    outputs: Arc<[String]>,
    /// What the features of shifted images depend on.
    shift: Vec<f32>,
    /// What a cache knows network, engine and precision by.
    network: [u8; 32],
    options: EngineOptions,
    classifier: Classifier,
    input: InputPipeline,
    setting: Setting,
    scorers: Scorers,
    score_names: Arc<[String]>,
    cache: Option<OutputCache>,
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("model", &self.classifier.file().name)
            .field("setting", &self.setting)
            .field("device", &self.options.device)
            .field("batch_size", &self.options.batch_size)
            .field("scores", &self.score_names)
            .finish_non_exhaustive()
    }
}

/// The scores beside the baseline.
#[derive(Debug, Clone)]
pub(crate) struct Scorers {
    odin: bool,
    i_odin: bool,
    pub(crate) fitted: Vec<Fitted>,
    own: Vec<Arc<dyn Scorer>>,
}

impl Default for Scorers {
    /// ODIN.
    fn default() -> Self {
        Self {
            odin: true,
            i_odin: false,
            fitted: Vec::new(),
            own: Vec::new(),
        }
    }
}

impl Scorers {
    /// Whether one needs an input gradient and a second forward pass.
    fn needs_gradient(&self) -> bool {
        self.odin || self.i_odin
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn Scorer> {
        let fitted = self.fitted.iter().map(|fitted| fitted as &dyn Scorer);
        fitted.chain(self.own.iter().map(|scorer| &**scorer))
    }

    /// What they read beside the logits.
    ///
    /// # Errors
    /// When two need images that are shifted differently.
    pub(super) fn needs(&self) -> Result<Needs, Error> {
        let mut scorers = self.iter();
        let needs = scorers.try_fold(Needs::LOGITS, |needs, scorer| needs.and(scorer.needs()));
        Ok(needs?)
    }

    /// The names of all scores, `msp` first.
    ///
    /// # Errors
    /// When two have the same name.
    fn names(&self) -> Result<Arc<[String]>, Error> {
        let passes = [(self.odin, ODIN), (self.i_odin, I_ODIN)];
        let passes = passes
            .into_iter()
            .filter_map(|(is, name)| is.then_some(name));
        let fixed = std::iter::once(MSP).chain(passes);
        let mut names: Vec<String> = Vec::new();
        for name in fixed.chain(self.iter().map(|scorer| scorer.name())) {
            if names.iter().any(|known| known == name) {
                let problem = format!("two scores are called {name}; each needs a name of its own");
                return Err(Error::new(ErrorKind::Invalid, problem));
            }
            names.push(name.to_string());
        }
        Ok(names.into())
    }
}

/// Settings of a [`Detector`].
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until `build` is called"]
pub struct DetectorBuilder {
    pub(super) classifier: Classifier,
    pub(crate) setting: Setting,
    pub(super) engine: EngineOptions,
    pub(super) scorers: Scorers,
    pub(super) parameters: Parameters,
    pub(super) cache: Option<OutputCache>,
}

impl DetectorBuilder {
    /// The temperature, the magnitude and the precision; [`Setting::PAPER`] unless set.
    pub fn setting(mut self, setting: Setting) -> Self {
        self.setting = setting;
        self
    }

    /// The number of threads; 1 unless set. The scores of the built-in engine do not depend on it.
    /// As many threads decode images.
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

    /// Where TensorRT keeps the engines that it builds, for later detectors of the same network,
    /// batch size and versions. What lies there is run: name only a folder that you trust. None is
    /// kept unless set; other devices do not read it.
    pub fn engine_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.engine.engine_cache = Some(folder.into());
        self
    }

    /// How many images of a set are read before they are scored; 32 unless set. The scores of the
    /// built-in engine do not depend on it. TensorRT builds for batches of this size, and computes
    /// as many images whenever there are fewer.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.engine.batch_size = batch_size;
        self
    }

    /// The parameters of the scores that [`fit`](DetectorBuilder::fit) makes; those of the papers
    /// unless set.
    pub fn parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = parameters;
        self
    }

    /// Scores to compute beside ODIN, from the same forward pass, as
    /// [`fit`](DetectorBuilder::fit) gives them; none unless set.
    pub fn fitted(mut self, fitted: impl IntoIterator<Item = Fitted>) -> Self {
        self.scorers.fitted = fitted.into_iter().collect();
        self
    }

    /// The scores whose statistics [`Detector::statistics`] gave, as
    /// [`fit`](DetectorBuilder::fit) made them.
    ///
    /// # Errors
    /// When the bytes are damaged, or are those of other scores or of another network.
    pub fn restore(&self, methods: &[Method], statistics: &[u8]) -> Result<Vec<Fitted>, Error> {
        restore_statistics(&self.classifier, methods, statistics)
    }

    /// Adds a user-defined score, computed from the same forward pass.
    pub fn scorer(mut self, scorer: impl Scorer + 'static) -> Self {
        self.scorers.own.push(Arc::new(scorer));
        self
    }

    /// Adds user-defined scores that are shared.
    pub fn scorers(mut self, scorers: impl IntoIterator<Item = Arc<dyn Scorer>>) -> Self {
        self.scorers.own.extend(scorers);
        self
    }

    /// Whether ODIN is computed; it is, unless set. Without it, and without i-ODIN, the network is run
    /// forward only: a third of the time.
    pub fn odin(mut self, odin: bool) -> Self {
        self.scorers.odin = odin;
        self
    }

    /// Whether i-ODIN is computed, too: only the coordinate of the largest gradient moves, by ε.
    /// This takes another forward pass. Not unless set.
    pub fn i_odin(mut self, i_odin: bool) -> Self {
        self.scorers.i_odin = i_odin;
        self
    }

    /// Keeps what the network gives for each image, and runs it only for images whose outputs are
    /// not there; [`DetectorBuilder::fit`] does so, too, a [`Sweep`](crate::Sweep) does not. The
    /// features are kept in any case, so that a later run can have other scores.
    pub fn cache(mut self, cache: OutputCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// The network.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    pub(crate) fn fitted_scores(&self) -> &[Fitted] {
        &self.scorers.fitted
    }

    /// Prepares the network.
    ///
    /// # Errors
    /// When a setting is out of its range, an operator of the network has no gradient, or the
    /// device is not there. No other device steps in for one that is not.
    pub fn build(self) -> Result<Detector, Error> {
        let setting = self.setting.check()?;
        let score_names = self.scorers.names()?;
        let needs = self.needs()?;
        let extras = Extras {
            features: self.features(needs)?,
            largest_coordinate: self.scorers.i_odin,
            probabilities: self.classifier.probabilities(),
            ..Extras::default()
        };
        let axis = self.classifier.layout().channel_axis();
        let mut graph = match self.scorers.needs_gradient() {
            true => transform_with(self.classifier.graph(), axis, extras)?,
            false => forward(self.classifier.graph(), extras.features)?,
        };
        add_needed(&mut graph, &self.classifier, needs)?;
        let outputs = graph.outputs().iter().map(|output| output.name.clone());
        let engine = Backend::new(&graph, &self.engine, setting.precision)?;
        Ok(Detector {
            outputs: outputs.collect(),
            shift: shift_key(needs),
            network: network_key(&self.classifier, &engine, setting.precision),
            engine: Arc::new(engine),
            input: InputPipeline::of(&self.classifier),
            options: self.engine,
            classifier: self.classifier,
            setting,
            scorers: self.scorers,
            score_names,
            cache: self.cache,
        })
    }

    /// What the scores read beside the logits.
    pub(super) fn needs(&self) -> Result<Needs, Error> {
        if self.engine.batch_size == 0 {
            return Err(invalid("the batch size must be at least 1"));
        }
        self.scorers.needs()
    }

    /// The input of the last linear layer, where a score or the cache needs it.
    pub(super) fn features(&self, needs: Needs) -> Result<Option<ValueId>, Error> {
        match (needs.features, &self.cache) {
            (true, _) => features(&self.classifier).map(Some),
            (false, Some(_)) => Ok(features(&self.classifier).ok()),
            (false, None) => Ok(None),
        }
    }
}

impl Detector {
    /// A detector for this classifier at [`Setting::PAPER`].
    pub fn builder(classifier: &Classifier) -> DetectorBuilder {
        DetectorBuilder {
            classifier: classifier.clone(),
            setting: Setting::PAPER,
            engine: EngineOptions::default(),
            scorers: Scorers::default(),
            parameters: Parameters::default(),
            cache: None,
        }
    }

    /// The same network, engine and scores at another setting; nothing is prepared again.
    ///
    /// # Errors
    /// When the setting is out of its range, or of another precision, which needs another engine.
    pub fn with_setting(&self, setting: Setting) -> Result<Self, Error> {
        let (own, other) = (self.setting.precision, setting.precision);
        if own != other {
            return Err(invalid(format!(
                "the network is prepared for the precision {own}, and cannot be run in {other}; build a detector for it"
            )));
        }
        Ok(Self {
            engine: Arc::clone(&self.engine),
            outputs: Arc::clone(&self.outputs),
            shift: self.shift.clone(),
            network: self.network,
            options: self.options.clone(),
            classifier: self.classifier.clone(),
            input: self.input.clone(),
            setting: setting.check()?,
            scorers: self.scorers.clone(),
            score_names: Arc::clone(&self.score_names),
            cache: self.cache.clone(),
        })
    }

    /// The temperature, the magnitude and the precision.
    pub fn setting(&self) -> Setting {
        self.setting
    }

    /// The network.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.options.device
    }

    /// The program that runs it and its version, such as `ONNX Runtime 1.32`.
    pub fn engine(&self) -> String {
        self.engine.name()
    }

    /// What the network's products are computed with, such as `AVX-512`; `None` where ONNX Runtime
    /// runs it.
    pub fn instructions(&self) -> Option<String> {
        self.engine.instructions()
    }

    /// The names of the scores that it computes: `msp`, then `odin` unless it is
    /// [left out](DetectorBuilder::odin), i-ODIN, where it is asked for, and the scores of the builder.
    pub fn score_names(&self) -> &[String] {
        &self.score_names
    }

    /// Why scores of [`DetectorBuilder::fit`] are not to be trusted, each reason once, behind the
    /// names of the scores that it is about.
    pub fn warnings(&self) -> Vec<String> {
        odin_scores::warnings(self.fitted())
    }

    /// What the scores of [`DetectorBuilder::fit`] have fitted, as a safetensors file in memory;
    /// empty where nothing was fitted.
    ///
    /// # Errors
    /// When the statistics are too large for the format.
    pub fn statistics(&self) -> Result<Vec<u8>, Error> {
        Ok(statistics_to_bytes(self.fitted())?.unwrap_or_default())
    }

    /// The scores that were fitted.
    pub(crate) fn fitted(&self) -> &[Fitted] {
        &self.scorers.fitted
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.options.batch_size
    }

    pub(crate) fn threads(&self) -> usize {
        self.options.threads
    }

    pub(super) fn engine_options(&self) -> &EngineOptions {
        &self.options
    }

    pub(crate) fn input(&self) -> &InputPipeline {
        &self.input
    }

    /// As [`Classifier::open_images`].
    ///
    /// # Errors
    /// As [`Classifier::open_images`].
    pub fn open_images(&self, path: impl AsRef<Path>) -> Result<Images, Error> {
        self.classifier.open_images(path)
    }

    /// Scores images as they were decoded: the model's transform is applied to them first.
    ///
    /// # Errors
    /// When an image has not the shape that the network takes, or a score is not a number.
    pub fn score(&self, decoded: &[Image]) -> Result<Vec<Score>, Error> {
        let images = self.input.transform(decoded)?;
        let scores = self.score_prepared(&images)?.into_iter().enumerate();
        scores
            .map(|(i, score)| score.map_err(|e| of_batch(i, e)))
            .collect()
    }

    /// Scores images of the network's shape, as [`Images::get`] gives them, in one batch, with what
    /// is wrong with each apart.
    ///
    /// # Errors
    /// When an image has another shape, or the engine fails.
    pub fn score_prepared(&self, images: &[Image]) -> Result<Vec<Result<Score, Error>>, Error> {
        let outputs = self.run(images)?;
        Ok(self.scores_of(&outputs))
    }

    /// Whether an image has the network's shape: one that has not would fail a whole batch.
    ///
    /// # Errors
    /// When it has not; the message gives both.
    pub fn check_prepared(&self, image: &Image) -> Result<(), Error> {
        self.input.check_shape(image)
    }

    /// What the network gives for images of its shape.
    pub(crate) fn run(&self, images: &[Image]) -> Result<Vec<RawOutputs>, Error> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.input.normalize(images)?;
        let Some(cache) = &self.cache else {
            let outputs = self.compute(&batch, images.len())?;
            return Ok(outputs.into_iter().map(|o| self.raw(o)).collect());
        };
        let (temperature, step) = self.parameters();
        let setting = [&temperature[..], &step].concat();
        let kinds: Vec<Kind<'_>> = self.kinds(&setting).collect();
        let inputs: Vec<&[f32]> = batch.chunks_exact(self.input.len().max(1)).collect();
        let compute = |batch: &[f32], images: usize| self.compute(batch, images);
        let outputs = cache.outputs(&self.network, &inputs, &kinds, compute)?;
        Ok(outputs.into_iter().map(|o| self.raw(o)).collect())
    }

    /// The engine's outputs of real numbers; those that depend on the setting, with it.
    fn kinds<'a>(&'a self, setting: &'a [f32]) -> impl Iterator<Item = Kind<'a>> {
        let names = self.outputs.iter().map(String::as_str);
        let numbers = names.filter(|name| *name != names::PREDICTION);
        numbers.map(move |name| match name {
            names::LOGITS | names::FEATURES | names::FEATURE_MAP => (name, &setting[..0]),
            names::SHIFTED_FEATURES => (name, &self.shift[..]),
            _ => (name, setting),
        })
    }

    /// Runs the network on inputs; for each, the outputs of [`Detector::kinds`].
    fn compute(&self, batch: &[f32], images: usize) -> Result<Vec<Outputs>, Error> {
        let (temperature, step) = self.parameters();
        let inputs = self.inputs(batch, &temperature, &step);
        let outputs = self.engine.run(images, &inputs)?;
        let numbers = outputs.iter().filter_map(|output| match output {
            Output::Float(values) => Some(&values[..]),
            _ => None,
        });
        let numbers: Vec<&[f32]> = numbers.collect();
        match numbers.len() == self.kinds(&[]).count() {
            true => Ok(of_images(&numbers, images)),
            false => {
                let problem = "the engine left out an output of the network";
                Err(Error::new(ErrorKind::Engine, problem))
            }
        }
    }

    /// By the names of the outputs of an image.
    fn raw(&self, outputs: Outputs) -> RawOutputs {
        let mut raw = RawOutputs::default();
        for ((name, _), values) in self.kinds(&[]).zip(outputs) {
            match name {
                names::LOGITS => raw.logits = values,
                names::FEATURES => raw.features = values,
                names::FEATURE_MAP => raw.feature_map = values,
                names::SHIFTED_FEATURES => raw.shifted_features = values,
                names::PERTURBED_LOGITS => raw.perturbed_logits = values,
                _ => raw.i_odin_logits = values,
            }
        }
        raw.prediction = argmax(&raw.logits);
        raw
    }

    /// The temperature, and ε / std for each channel.
    fn parameters(&self) -> ([f32; 1], Vec<f32>) {
        let Setting {
            temperature,
            magnitude,
            ..
        } = self.setting;
        ([temperature as f32], self.input.step(magnitude))
    }

    fn inputs<'a>(
        &'a self,
        batch: &'a [f32],
        temperature: &'a [f32],
        step: &'a [f32],
    ) -> Vec<(&'a str, &'a [f32])> {
        let mut inputs = vec![(self.input.name.as_str(), batch)];
        if self.scorers.needs_gradient() {
            inputs.push((names::TEMPERATURE, temperature));
            inputs.push((names::STEP, step));
        }
        inputs
    }

    /// The scores of each image, or what is wrong with it.
    pub(crate) fn scores_of(&self, outputs: &[RawOutputs]) -> Vec<Result<Score, Error>> {
        let observations: Vec<_> = outputs.iter().map(RawOutputs::observation).collect();
        let scorers = self.scorers.iter();
        let columns: Vec<_> = scorers.map(|s| s.score_batch(&observations)).collect();
        let score = |(i, outputs): (usize, &RawOutputs)| {
            let mut values = self.probabilities(outputs);
            values.extend(
                columns
                    .iter()
                    .map(|column| column.get(i).unwrap_or(&f64::NAN)),
            );
            Score::new(outputs.prediction, &self.score_names, values)
        };
        outputs.iter().enumerate().map(score).collect()
    }

    /// The scores that are largest probabilities.
    fn probabilities(&self, outputs: &RawOutputs) -> Vec<f64> {
        let (t, of) = (self.setting.temperature, self.classifier.probabilities());
        let mut values = vec![max_probability(&outputs.logits, 1.0, of)];
        if self.scorers.odin {
            values.push(max_probability(&outputs.perturbed_logits, t, of));
        }
        if self.scorers.i_odin {
            values.push(max_probability(&outputs.i_odin_logits, t, of));
        }
        values
    }

    /// The program that the built-in engine has made of the network with ODIN built in; `None`
    /// where another engine runs it.
    pub fn program(&self) -> Option<Program> {
        self.engine.built_in().map(odin_cpu::Engine::program)
    }

    /// The program that the engine for graphics processors has made of the network with ODIN built
    /// in; `None` where another engine runs it.
    pub fn gpu_program(&self) -> Option<GpuProgram> {
        self.engine.gpu_program()
    }

    /// How long each step of [`Detector::gpu_program`] takes for as many copies of an image as the
    /// [batch size](DetectorBuilder::batch_size) says, by the clock of the device: the shortest of
    /// some repetitions. `None` where the device has no such clock.
    ///
    /// # Errors
    /// When another engine runs the network, the image has not the shape that it takes, or the batch
    /// does not fit the device's memory.
    pub fn gpu_step_times(
        &self,
        image: &Image,
        repetitions: usize,
    ) -> Result<Option<Vec<Duration>>, Error> {
        let images = self.batch_size();
        let pixels = self.input.normalize(std::slice::from_ref(image))?;
        let (temperature, step) = self.parameters();
        let batch = pixels.repeat(images);
        let inputs = self.inputs(&batch, &temperature, &step);
        self.engine.gpu_times(images, &inputs, repetitions)
    }

    /// How long each step of [`Detector::program`] takes for an image that all threads share: the
    /// shortest of some repetitions. `clock` gives the time since some fixed moment.
    ///
    /// # Errors
    /// When another engine runs the network, or the image has not the shape that it takes.
    pub fn step_times(
        &self,
        image: &Image,
        repetitions: usize,
        clock: &(dyn Fn() -> Duration + Sync),
    ) -> Result<Vec<Duration>, Error> {
        let engine = self.engine.built_in().ok_or_else(|| {
            invalid(
                "only the built-in engine for the CPU tells how long its steps take for one image; the device must be cpu",
            )
        })?;
        let pixels = self.input.normalize(std::slice::from_ref(image))?;
        let (temperature, step) = self.parameters();
        Ok(engine.times(
            &self.inputs(&pixels, &temperature, &step),
            repetitions,
            clock,
        )?)
    }
}

/// What the network gives for one image.
#[derive(Default)]
pub(crate) struct RawOutputs {
    pub(crate) prediction: usize,
    pub(crate) logits: Vec<f32>,
    pub(crate) perturbed_logits: Vec<f32>,
    /// The input of the last linear layer; empty where no score needs it.
    features: Vec<f32>,
    /// The logits of the image of which one coordinate moved; empty unless i-ODIN is requested.
    i_odin_logits: Vec<f32>,
    /// What the features are pooled from; empty where no score needs it.
    feature_map: Vec<f32>,
    /// The features of the shifted image; empty where no score needs them.
    shifted_features: Vec<f32>,
}

impl RawOutputs {
    fn observation(&self) -> Observation<'_> {
        Observation::new(&self.logits)
            .with_features(&self.features)
            .with_feature_map(&self.feature_map)
            .with_shifted_features(&self.shifted_features)
    }
}

fn of_batch(i: usize, error: Error) -> Error {
    error.about(format_args!("image {i} of the batch"))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
