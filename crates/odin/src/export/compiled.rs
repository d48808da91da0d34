//! Runs a compiled detector, the ONNX file that `compile` writes.

use crate::detect::{check_threads, each_of_batch, of_cpu};
use crate::input::{Batches, InputPipeline};
use crate::model::ModelSource;
use crate::names::{IS_IN_DISTRIBUTION, P_VALUE, PERCENTILE};
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
    /// Where the logits and the prediction are among the outputs.
    logits: usize,
    prediction: usize,
    /// Where the scores of the card are.
    scores: Vec<usize>,
    /// Where the decision, the percentile and the p-value are.
    decision: Option<usize>,
    percentile: Option<usize>,
    p_value: Option<usize>,
}

impl std::fmt::Debug for CompiledDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledDetector")
            .field("name", &self.network.file().name)
            .field("card", &self.card)
            .finish_non_exhaustive()
    }
}

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
    /// The scores in the order of [`DetectorCard::scores`], computed in `f32`.
    pub scores: Vec<f64>,
    /// The percentage of the calibration's scores that are not above the deciding one, where the file
    /// has it.
    pub percentile: Option<f64>,
    /// The conformal p-value, where the file has it.
    pub p_value: Option<f64>,
    /// Whether the deciding score reaches the threshold in the file, if there is one.
    pub is_in_distribution: Option<bool>,
}

/// The outputs of the file for one image.
pub(super) struct Outputs {
    pub(super) logits: Vec<f32>,
    pub(super) prediction: usize,
    pub(super) scores: Vec<f64>,
    percentile: Option<f64>,
    p_value: Option<f64>,
    is_in_distribution: Option<bool>,
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
        let find = |name: &str| {
            let mut outputs = graph.outputs().iter();
            outputs.position(|output| output.name == name)
        };
        let place = |name: &str| {
            let missing = || problem(format!("the detector has no output {name:?}"));
            find(name).ok_or_else(missing)
        };
        let (logits, prediction) = (place(names::LOGITS)?, place(names::PREDICTION)?);
        let scores = card.scores.iter().map(|name| place(name));
        let scores = scores.collect::<Result<Vec<_>, _>>()?;
        let (_, input) = graph
            .inputs()
            .next()
            .ok_or_else(|| problem("the detector has no input".to_string()))?;
        Ok(Self {
            engine: Engine::with_options(&graph, threads, of_cpu(card.setting.precision))?,
            threads,
            input: input.name.clone(),
            pipeline: InputPipeline::of(&network),
            network,
            card,
            logits,
            prediction,
            scores,
            decision: find(IS_IN_DISTRIBUTION),
            percentile: find(PERCENTILE),
            p_value: find(P_VALUE),
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
                Ok(CompiledScore {
                    name,
                    prediction: outputs.prediction,
                    scores: outputs.scores,
                    percentile: outputs.percentile,
                    p_value: outputs.p_value,
                    is_in_distribution: outputs.is_in_distribution,
                })
            });
            judged.collect::<Vec<_>>()
        })
    }

    /// Runs the file on images of the network's shape.
    pub(super) fn run(&self, images: &[Image]) -> Result<Vec<Outputs>, Error> {
        let batch = self.pipeline.normalize(images)?;
        let outputs = self
            .engine
            .run(images.len(), &[(self.input.as_str(), &batch)])?;
        let (Some(Output::Float(logits)), Some(Output::Int(predictions))) =
            (outputs.get(self.logits), outputs.get(self.prediction))
        else {
            return Err(self.other_type());
        };
        let number = |place: usize, i: usize| match outputs.get(place) {
            Some(Output::Float(values)) => values.get(i).map(|&value| f64::from(value)),
            _ => None,
        };
        let rows = logits.chunks_exact(self.network.classes()).zip(predictions);
        rows.enumerate()
            .map(|(i, (logits, &prediction))| {
                let scores = self.scores.iter().map(|&place| number(place, i));
                Ok(Outputs {
                    logits: logits.to_vec(),
                    prediction: prediction as usize,
                    scores: scores
                        .collect::<Option<_>>()
                        .ok_or_else(|| self.other_type())?,
                    percentile: self.percentile.and_then(|place| number(place, i)),
                    p_value: self.p_value.and_then(|place| number(place, i)),
                    is_in_distribution: self.decision.and_then(|place| match outputs.get(place) {
                        Some(Output::Bool(reached)) => reached.get(i).copied(),
                        _ => None,
                    }),
                })
            })
            .collect()
    }

    fn other_type(&self) -> Error {
        let error = Error::new(ErrorKind::Classifier, "an output is of another type");
        error.about(&self.network.file().name)
    }
}
