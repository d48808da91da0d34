use crate::{Classifier, ClassifierOptions, Detector, DetectorCard, Error, ErrorKind};
use odin_cpu::{Engine, Output};
use odin_data::Image;
use odin_formats::onnx;
use odin_graph::odin::names;
use std::path::Path;

/// A file that [`compile`](crate::compile) wrote, ready to run as it is: the gradient, the
/// perturbation and the scores are those in the file.
pub struct DetectorFile {
    engine: Engine,
    /// The network in the file, which knows how images become its input.
    network: Classifier,
    card: DetectorCard,
    input: String,
    /// Where the outputs [`OUTPUTS`] are.
    places: [usize; 4],
}

impl std::fmt::Debug for DetectorFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DetectorFile")
            .field("name", &self.network.file().name)
            .field("card", &self.card)
            .finish_non_exhaustive()
    }
}

/// The outputs that every detector file has.
const OUTPUTS: [&str; 4] = [names::LOGITS, names::PREDICTION, names::MSP, names::ODIN];

/// What a detector says of one image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) logits: Vec<f32>,
    pub(crate) prediction: usize,
    pub(crate) msp: f64,
    pub(crate) odin: f64,
}

impl DetectorFile {
    /// Reads a file; `threads` images are worked on at once.
    ///
    /// # Errors
    /// When the file cannot be read or is no detector.
    pub fn open(path: &Path, threads: usize) -> Result<Self, Error> {
        let network = Classifier::open(path, ClassifierOptions::default())?;
        let problem = |what: &str| {
            let message = format!("{}: {what}", path.display());
            Error::new(ErrorKind::Classifier, message)
        };
        let card = network
            .detector_card()
            .cloned()
            .ok_or_else(|| problem("this is no detector; `odin compile` makes one of a model"))?;
        let graph = onnx::open_graph(path)?;
        let place = |name: &str| {
            let mut outputs = graph.outputs().iter();
            let place = outputs.position(|output| output.name == name);
            place.ok_or_else(|| problem(&format!("the detector has no output {name:?}")))
        };
        let places = [
            place(OUTPUTS[0])?,
            place(OUTPUTS[1])?,
            place(OUTPUTS[2])?,
            place(OUTPUTS[3])?,
        ];
        let (_, input) = graph
            .inputs()
            .next()
            .ok_or_else(|| problem("the detector has no input"))?;
        Ok(Self {
            engine: Engine::new(&graph, threads)?,
            input: input.name.clone(),
            network,
            card,
            places,
        })
    }

    /// What the file says of itself.
    pub fn card(&self) -> &DetectorCard {
        &self.card
    }

    /// The network in the file.
    pub fn network(&self) -> &Classifier {
        &self.network
    }

    /// Runs the file on images.
    fn run(&self, images: &[Image]) -> Result<Vec<Outcome>, Error> {
        let mut batch = Vec::new();
        for image in images {
            let (normalization, layout) = (self.network.normalization(), self.network.layout());
            normalization.apply(&image.pixels, layout, &mut batch);
        }
        let outputs = self
            .engine
            .run(images.len(), &[(self.input.as_str(), &batch)])?;
        let chosen = self.places.map(|place| outputs.get(place));
        let [
            Some(Output::Float(logits)),
            Some(Output::Int(predictions)),
            Some(Output::Float(msp)),
            Some(Output::Float(odin)),
        ] = chosen
        else {
            let message = format!("{}: an output is of another type", self.network.file().name);
            return Err(Error::new(ErrorKind::Classifier, message));
        };
        let rows = logits.chunks_exact(self.network.classes());
        let scores = predictions.iter().zip(msp).zip(odin);
        Ok(rows
            .zip(scores)
            .map(|(logits, ((&prediction, &msp), &odin))| Outcome {
                logits: logits.to_vec(),
                prediction: prediction as usize,
                msp: f64::from(msp),
                odin: f64::from(odin),
            })
            .collect())
    }
}

/// How far a detector file and a [`Detector`] are from each other: the largest differences over
/// all images compared.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Agreement {
    /// The number of images.
    pub images: usize,
    /// The largest difference of a logit.
    pub logits: f64,
    /// The largest absolute logit, at least 1: what the difference is to be seen beside.
    pub logit_scale: f64,
    /// The largest difference of a maximum softmax probability.
    pub msp: f64,
    /// The largest difference of an ODIN score.
    pub odin: f64,
    /// The temperature T. A difference of an ODIN score is about that of logits divided by T.
    pub temperature: f64,
    /// The number of images whose predicted classes differ.
    pub disagreements: usize,
}

impl Agreement {
    /// Compares a file with the detector that it should equal, at the file's magnitude, on these
    /// images.
    ///
    /// # Errors
    /// When an image has not the shape that the network takes, the two have different classes or
    /// temperatures, or a score is not a number.
    pub fn of(file: &DetectorFile, detector: &Detector, images: &[Image]) -> Result<Self, Error> {
        let name = &file.network.file().name;
        let same = |what: &str, own: f64, other: f64| match own == other {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{name} has {what} {own}, the model {other}: they are not the same detector"
                ),
            )),
        };
        let (own, other) = (file.network.classes(), detector.classes());
        same("a number of classes of", own as f64, other as f64)?;
        let temperature = file.card.temperature;
        same("temperature", temperature, detector.temperature())?;
        let expected = detector.run(images, file.card.magnitude)?;
        let found = file.run(images)?;
        let mut agreement = Agreement {
            logit_scale: 1.0,
            temperature,
            ..Self::default()
        };
        for (found, expected) in found.iter().zip(&expected) {
            agreement.add(found, expected);
        }
        Ok(agreement)
    }

    /// Both, taken together.
    pub fn and(self, other: Self) -> Self {
        Self {
            images: self.images + other.images,
            logits: larger(self.logits, other.logits),
            logit_scale: larger(self.logit_scale, other.logit_scale),
            msp: larger(self.msp, other.msp),
            odin: larger(self.odin, other.odin),
            temperature: other.temperature,
            disagreements: self.disagreements + other.disagreements,
        }
    }

    /// Whether all predictions agree and no difference exceeds the tolerance: that of logits
    /// relative to [`Agreement::logit_scale`], that of MSP as it is, that of ODIN scores times T
    /// like that of logits.
    pub fn holds(&self, tolerance: f64) -> bool {
        let relative = tolerance * self.logit_scale.max(1.0);
        self.disagreements == 0
            && self.logits <= relative
            && self.msp <= tolerance
            && self.odin * self.temperature <= relative
    }

    fn add(&mut self, found: &Outcome, expected: &Outcome) {
        let pairs = found.logits.iter().zip(&expected.logits);
        for (&a, &b) in pairs {
            self.logits = larger(self.logits, (f64::from(a) - f64::from(b)).abs());
            self.logit_scale = larger(self.logit_scale, f64::from(b).abs());
        }
        self.images += 1;
        self.msp = larger(self.msp, (found.msp - expected.msp).abs());
        self.odin = larger(self.odin, (found.odin - expected.odin).abs());
        self.disagreements += usize::from(found.prediction != expected.prediction);
    }
}

/// The larger of two; NaN, which is no agreement, exceeds everything.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}
