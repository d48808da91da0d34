//! Runs a compiled detector, the ONNX file that `compile` writes.

use crate::detect::{check_threads, each_of_batch};
use crate::input::{Batches, InputPipeline};
use crate::model::ModelSource;
use crate::{Classifier, ClassifierOptions, DetectorCard, Error, ErrorKind, ImageError, Images};
use odin_cpu::{Engine, Output};
use odin_data::Image;
use odin_graph::odin::names;
use std::path::Path;

/// A file that [`compile`](crate::compile) wrote, run by the built-in engine: the gradient, the
/// perturbation, the scores and the decision are computed by the nodes in the file.
pub struct CompiledDetector {
    engine: Engine,
    threads: usize,
    /// The network in the file, which knows how images become its input.
    network: Classifier,
    pipeline: InputPipeline,
    card: DetectorCard,
    input: String,
    /// Where the outputs [`OUTPUTS`] are.
    places: [usize; 4],
}

impl std::fmt::Debug for CompiledDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledDetector")
            .field("name", &self.network.file().name)
            .field("card", &self.card)
            .finish_non_exhaustive()
    }
}

/// The outputs that every compiled detector has.
const OUTPUTS: [&str; 4] = [names::LOGITS, names::PREDICTION, names::MSP, names::ODIN];

/// Images that are run at once.
const BATCH: usize = 32;

/// The outputs of a compiled detector for one image. Scores are high for in-distribution images.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CompiledScore {
    /// The image's name in its set.
    pub name: String,
    /// The predicted class: argmax of the logits.
    pub prediction: usize,
    /// The maximum softmax probability at T = 1.
    pub msp: f64,
    /// The maximum softmax probability at T of the perturbed image, computed in `f32`.
    pub odin: f64,
    /// Whether ODIN reaches the threshold in the file, if there is one.
    pub is_in_distribution: Option<bool>,
}

/// The outputs of the file for one image.
pub(super) struct Outputs {
    pub(super) logits: Vec<f32>,
    pub(super) prediction: usize,
    pub(super) msp: f64,
    pub(super) odin: f64,
}

impl CompiledDetector {
    /// Reads a file; `threads` images are worked on at once.
    ///
    /// # Errors
    /// When the file cannot be read or is no compiled detector, or for no threads or more than
    /// [`MAX_THREADS`](crate::MAX_THREADS).
    pub fn open(path: impl AsRef<Path>, threads: usize) -> Result<Self, Error> {
        check_threads(threads)?;
        let source = ModelSource::open(path.as_ref())?;
        let problem = |what: String| Error::new(ErrorKind::Classifier, what).about(&source.name);
        let file = source.onnx().transpose()?;
        let network = Classifier::from_source(&source, ClassifierOptions::default())?;
        let (Some(card), Some(file)) = (network.detector_card().cloned(), file) else {
            return Err(problem("this is no compiled detector".to_string()));
        };
        let graph = file.graph()?;
        let place = |name: &str| {
            let mut outputs = graph.outputs().iter();
            let place = outputs.position(|output| output.name == name);
            place.ok_or_else(|| problem(format!("the detector has no output {name:?}")))
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
            .ok_or_else(|| problem("the detector has no input".to_string()))?;
        Ok(Self {
            engine: Engine::new(&graph, threads)?,
            threads,
            input: input.name.clone(),
            pipeline: InputPipeline::of(&network),
            network,
            card,
            places,
        })
    }

    /// The metadata of the file.
    pub fn card(&self) -> &DetectorCard {
        &self.card
    }

    /// The network in the file.
    pub fn network(&self) -> &Classifier {
        &self.network
    }

    /// As [`Classifier::open_images`].
    ///
    /// # Errors
    /// As [`Classifier::open_images`].
    pub fn open_images(&self, path: impl AsRef<Path>) -> Result<Images, Error> {
        self.network.open_images(path)
    }

    /// Judges images one after the other: each gives its scores, or the reason why it has none.
    pub fn judge(
        &self,
        images: &Images,
    ) -> impl Iterator<Item = Result<CompiledScore, ImageError>> + use<'_> {
        let images = images.clone();
        let mut batches = Batches::new(&images, BATCH, self.threads);
        let readings = std::iter::from_fn(move || batches.next_batch());
        readings.flat_map(move |readings| {
            let run = |images: &[Image]| Ok(self.run(images)?.into_iter().map(Ok).collect());
            let outputs = each_of_batch(&images, readings, &self.pipeline, run).into_iter();
            let judged = outputs.map(|outputs| {
                let (name, _, outputs) = outputs?;
                Ok(self.score(name, &outputs))
            });
            judged.collect::<Vec<_>>()
        })
    }

    fn score(&self, name: String, outputs: &Outputs) -> CompiledScore {
        let threshold = self.card.threshold;
        // The file compares in f32.
        let reaches = |threshold: f64| outputs.odin as f32 >= threshold as f32;
        CompiledScore {
            name,
            prediction: outputs.prediction,
            msp: outputs.msp,
            odin: outputs.odin,
            is_in_distribution: threshold.map(reaches),
        }
    }

    /// Runs the file on images of the network's shape.
    pub(super) fn run(&self, images: &[Image]) -> Result<Vec<Outputs>, Error> {
        let batch = self.pipeline.normalize(images)?;
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
            let problem = "an output is of another type";
            let error = Error::new(ErrorKind::Classifier, problem);
            return Err(error.about(&self.network.file().name));
        };
        let rows = logits.chunks_exact(self.network.classes());
        let scores = predictions.iter().zip(msp).zip(odin);
        Ok(rows
            .zip(scores)
            .map(|(logits, ((&prediction, &msp), &odin))| Outputs {
                logits: logits.to_vec(),
                prediction: prediction as usize,
                msp: f64::from(msp),
                odin: f64::from(odin),
            })
            .collect())
    }
}
