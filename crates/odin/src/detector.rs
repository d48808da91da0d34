use crate::detector_file::Outcome;
use crate::engine::{self, Engine};
use crate::{Classifier, Device, Error, ErrorKind, Layout, Normalization};
use odin_cpu::{Output, Program};
use odin_data::Image;
use odin_graph::Graph;
use odin_graph::odin::{names, transform};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What the detector says of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The predicted class: argmax of the logits.
    pub prediction: usize,
    /// The baseline: the maximum softmax probability at T = 1.
    pub msp: f64,
    /// The ODIN score: the maximum softmax probability at temperature T of the perturbed
    /// image.
    pub odin: f64,
}

/// A classifier with ODIN built into it, ready to score images.
pub struct Detector {
    engine: Engine,
    device: Device,
    input: String,
    image_shape: [usize; 3],
    layout: Layout,
    classes: usize,
    normalization: Normalization,
    temperature: f64,
    batch_size: usize,
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("device", &self.device)
            .field("image_shape", &self.image_shape)
            .field("layout", &self.layout)
            .field("classes", &self.classes)
            .field("normalization", &self.normalization)
            .field("temperature", &self.temperature)
            .field("batch_size", &self.batch_size)
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
}

impl DetectorBuilder<'_> {
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

    /// Prepares the network.
    ///
    /// # Errors
    /// When a setting is out of its range, an operator of the network has no gradient, or the
    /// device is not there. No other device steps in for one that is not.
    pub fn build(self) -> Result<Detector, Error> {
        let t = self.temperature;
        let in_f32 = (t as f32).is_finite() && t as f32 > 0.0;
        if !in_f32 {
            return Err(invalid(format!(
                "the temperature must be positive and finite, it is {t}"
            )));
        }
        if self.engine.threads == 0 || self.batch_size == 0 {
            return Err(invalid("threads and batch size must be at least 1"));
        }
        let classifier = self.classifier;
        let input = classifier
            .graph()
            .inputs()
            .next()
            .map(|(_, i)| i.name.clone());
        let mut graph = transform(classifier.graph(), classifier.layout().channel_axis())?;
        keep_outputs(&mut graph);
        Ok(Detector {
            engine: Engine::new(&graph, &self.engine)?,
            device: self.engine.device,
            input: input.unwrap_or_default(),
            image_shape: classifier.image_shape(),
            layout: classifier.layout(),
            classes: classifier.classes(),
            normalization: classifier.normalization().clone(),
            temperature: t,
            batch_size: self.batch_size,
        })
    }
}

impl Detector {
    /// A detector for this classifier at T = 1000.
    pub fn builder(classifier: &Classifier) -> DetectorBuilder<'_> {
        DetectorBuilder {
            classifier,
            temperature: 1000.0,
            engine: engine::Settings {
                device: Device::default(),
                threads: 1,
                libraries: Vec::new(),
            },
            batch_size: 32,
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

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Scores images, perturbing each by ε = `magnitude`, in units of the [0, 1] pixel scale.
    ///
    /// # Errors
    /// When ε is negative or not finite, an image has not the shape that the network takes, or
    /// a score is not a number.
    pub fn score(&self, images: &[Image], magnitude: f64) -> Result<Vec<Score>, Error> {
        self.score_named(images, magnitude, |i| format!("image {i} of the batch"))
    }

    /// As [`Detector::score`]; errors call image `i` as `name` does.
    pub(crate) fn score_named(
        &self,
        images: &[Image],
        magnitude: f64,
        name: impl Fn(usize) -> String,
    ) -> Result<Vec<Score>, Error> {
        let outcomes = self.run_named(images, magnitude, name)?;
        let scores = outcomes.into_iter().map(|outcome| Score {
            prediction: outcome.prediction,
            msp: outcome.msp,
            odin: outcome.odin,
        });
        Ok(scores.collect())
    }

    /// As [`Detector::score`], with the logits.
    pub(crate) fn run(&self, images: &[Image], magnitude: f64) -> Result<Vec<Outcome>, Error> {
        self.run_named(images, magnitude, |i| format!("image {i} of the batch"))
    }

    fn run_named(
        &self,
        images: &[Image],
        magnitude: f64,
        name: impl Fn(usize) -> String,
    ) -> Result<Vec<Outcome>, Error> {
        if !(magnitude.is_finite() && magnitude >= 0.0) {
            return Err(invalid(format!(
                "the magnitude must be a number from 0, it is {magnitude}"
            )));
        }
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.normalize(images)?;
        let temperature = [self.temperature as f32];
        let step = self.step(magnitude);
        let inputs = [
            (self.input.as_str(), &batch[..]),
            (names::TEMPERATURE, &temperature[..]),
            (names::STEP, &step[..]),
        ];
        let outputs = self.engine.run(images.len(), &inputs)?;
        let [
            Output::Float(logits),
            Output::Int(predictions),
            Output::Float(perturbed),
        ] = &outputs[..]
        else {
            return Err(Error::new(
                ErrorKind::Engine,
                "the engine left out an output of ODIN",
            ));
        };
        let rows = logits
            .chunks_exact(self.classes)
            .zip(perturbed.chunks_exact(self.classes));
        let outcomes = rows.zip(predictions).enumerate();
        outcomes
            .map(|(i, ((logits, perturbed), &prediction))| {
                let outcome = Outcome {
                    logits: logits.to_vec(),
                    prediction: prediction as usize,
                    msp: max_softmax(logits, 1.0),
                    odin: max_softmax(perturbed, self.temperature),
                };
                let problem = match (outcome.msp.is_finite(), outcome.odin.is_finite()) {
                    (true, true) => return Ok(outcome),
                    (false, _) => "the network's logits are not finite numbers; check the weights and the normalisation".to_string(),
                    (true, false) => format!("the network's logits of the perturbed image are not finite numbers; the magnitude {magnitude} is too large"),
                };
                Err(Error::new(ErrorKind::NotFinite, format!("{}: {problem}", name(i))))
            })
            .collect()
    }

    /// The program that the built-in engine has made of the network with ODIN built in; `None`
    /// where another engine runs it.
    pub fn program(&self) -> Option<Program> {
        self.engine.built_in().map(odin_cpu::Engine::program)
    }

    /// How long each step of [`Detector::program`] takes for an image on one thread: the shortest
    /// of some repetitions. `clock` gives the time since some fixed moment.
    ///
    /// # Errors
    /// When another engine runs the network, or as [`Detector::score`].
    pub fn step_times(
        &self,
        image: &Image,
        magnitude: f64,
        repetitions: usize,
        clock: &dyn Fn() -> Duration,
    ) -> Result<Vec<Duration>, Error> {
        let engine = self.engine.built_in().ok_or_else(|| {
            invalid("only the built-in engine tells how long its steps take; use --device cpu")
        })?;
        let pixels = self.normalize(std::slice::from_ref(image))?;
        let temperature = [self.temperature as f32];
        let step = self.step(magnitude);
        let inputs = [
            (self.input.as_str(), &pixels[..]),
            (names::TEMPERATURE, &temperature[..]),
            (names::STEP, &step[..]),
        ];
        Ok(engine.times(&inputs, repetitions, clock)?)
    }

    /// The batch, normalised, in the order of the network's input.
    fn normalize(&self, images: &[Image]) -> Result<Vec<f32>, Error> {
        let mut batch =
            Vec::with_capacity(images.len() * self.image_shape.iter().product::<usize>());
        for image in images {
            self.check_shape(image)?;
            self.normalization
                .apply(&image.pixels, self.layout, &mut batch);
        }
        Ok(batch)
    }

    /// Whether an image has the shape that the network takes.
    ///
    /// # Errors
    /// When it has not; the message gives both.
    pub fn check_shape(&self, image: &Image) -> Result<(), Error> {
        let found = [image.channels, image.height, image.width];
        let ([c, h, w], [fc, fh, fw]) = (self.image_shape, found);
        let fits = match self.layout {
            Layout::Nchw | Layout::Nhwc => found == [c, h, w],
            // Which of the other axes are channels and which rows makes no difference.
            Layout::Nf => true,
            _ => fw == w,
        };
        let expected = self.image_shape.iter().product::<usize>();
        if fits && image.pixels.len() == expected && found.iter().product::<usize>() == expected {
            return Ok(());
        }
        if self.layout == Layout::Nf {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the image is {fh}x{fw} (height x width) with {}, {} values; the network takes vectors of {expected}",
                    channels(fc),
                    image.pixels.len()
                ),
            ));
        }
        if matches!(self.layout, Layout::Ncl | Layout::Nlc) {
            let found = channels(fc.saturating_mul(fh));
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the signal has {found} and {fw} positions, the network takes {} and {w} positions",
                    channels(c)
                ),
            ));
        }
        Err(Error::new(
            ErrorKind::Shape,
            format!(
                "the image is {fh}x{fw} (height x width) with {}, the network takes {h}x{w} with {}; images are only resized when asked to (--transform resize:{h}x{w}); --image-size gives a checkpoint's own size, if it is not {h}x{w}",
                channels(fc),
                channels(c)
            ),
        ))
    }

    /// ε / std for each channel.
    fn step(&self, magnitude: f64) -> Vec<f32> {
        let std = self.normalization.std().iter();
        std.map(|&std| (magnitude / f64::from(std)) as f32)
            .collect()
    }
}

/// Without the direction of the perturbation, which has the size of the images.
fn keep_outputs(graph: &mut Graph) {
    let outputs = graph.outputs().to_vec();
    graph.clear_outputs();
    for output in outputs.into_iter().filter(|o| o.name != names::DIRECTION) {
        graph.output(output.name, output.value);
    }
}

fn channels(count: usize) -> String {
    match count {
        1 => "1 channel".to_string(),
        count => format!("{count} channels"),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// `max_i softmax(z / T)_i`, in f64: at T = 1000 the scores of a set span a thousandth, which
/// f32 cannot tell apart.
fn max_softmax(logits: &[f32], temperature: f64) -> f64 {
    let scaled = || logits.iter().map(|&z| f64::from(z) / temperature);
    let max = scaled().fold(f64::NEG_INFINITY, f64::max);
    1.0 / scaled().map(|z| (z - max).exp()).sum::<f64>()
}
