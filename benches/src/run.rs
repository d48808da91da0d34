//! ODIN by the engine itself, with its options, and with the signs of the gradient.

use anyhow::{Context, Result, bail};
use odin::Classifier;
use odin_cpu::{Bf16Instructions, Engine, Options, Output, Precision};
use odin_data::DataSet;
use odin_graph::Graph;
use odin_graph::odin::{Extras, names, transform_with};

/// Images of a batch.
const BATCH: usize = 32;

/// ODIN around a classifier.
pub struct Run<'a> {
    classifier: &'a Classifier,
    graph: Graph,
    engine: Engine,
    input: String,
    temperature: f64,
    step: Vec<f32>,
}

/// What ODIN says of an image.
pub struct Scores {
    /// The largest logit.
    pub prediction: usize,
    /// The class that the gradient is of.
    pub label: usize,
    /// The maximum softmax probability.
    pub msp: f64,
    /// ODIN's score.
    pub odin: f64,
    /// The signs of the gradient.
    pub signs: Vec<bool>,
}

/// Options of the engine for bf16 by some instructions.
pub fn fast(bf16: Bf16Instructions) -> Options {
    let mut options = Options::default();
    (options.precision, options.bf16) = (Precision::Fast, Some(bf16));
    options
}

impl<'a> Run<'a> {
    /// Prepares ODIN at a temperature and a magnitude.
    ///
    /// # Errors
    /// When the network has no gradient.
    pub fn new(
        classifier: &'a Classifier,
        options: Options,
        [temperature, magnitude]: [f64; 2],
    ) -> Result<Self> {
        let extras = Extras {
            direction: true,
            ..Extras::default()
        };
        let graph = transform_with(classifier.graph(), 1, extras)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let input = classifier.graph().inputs().next();
        let std = classifier.normalization().std().iter();
        Ok(Self {
            engine: Engine::with_options(&graph, threads, options)?,
            graph,
            input: input
                .map(|(_, input)| input.name.clone())
                .context("a network without an input")?,
            temperature,
            step: std
                .map(|&std| (magnitude / f64::from(std)) as f32)
                .collect(),
            classifier,
        })
    }

    /// Scores all images of a set, which has the size of the network's.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn scores(&self, images: &dyn DataSet) -> Result<Vec<Scores>> {
        let mut scores = Vec::new();
        for first in (0..images.len()).step_by(BATCH) {
            let batch = first..images.len().min(first + BATCH);
            let mut pixels = Vec::new();
            for i in batch.clone() {
                pixels.extend(self.normalized(&images.get(i)?.image));
            }
            let inputs: [(&str, &[f32]); 3] = [
                (&self.input, &pixels),
                (names::TEMPERATURE, &[self.temperature as f32]),
                (names::STEP, &self.step),
            ];
            let outputs = self.engine.run(batch.len(), &inputs)?;
            scores.extend(self.of_batch(&outputs, batch.len())?);
        }
        Ok(scores)
    }

    fn normalized(&self, image: &odin::Image) -> Vec<f32> {
        let normalization = self.classifier.normalization();
        let statistics = normalization.mean().iter().zip(normalization.std());
        let planes = image.pixels.chunks(image.height * image.width);
        let planes = planes.zip(statistics);
        let normalized = planes
            .flat_map(|(plane, (mean, std))| plane.iter().map(move |pixel| (pixel - mean) / std));
        normalized.collect()
    }

    fn of_batch(&self, outputs: &[Output], images: usize) -> Result<Vec<Scores>> {
        let output = |name: &str| {
            let mut all = self.graph.outputs().iter().zip(outputs);
            let found = all.find(|(output, _)| output.name == name);
            found.map(|(_, output)| output)
        };
        let floats = |name: &str| match output(name) {
            Some(Output::Float(floats)) => Ok(floats.chunks(floats.len() / images)),
            _ => bail!("the graph has no output {name}"),
        };
        let Some(Output::Int(labels)) = output(names::PREDICTION) else {
            bail!("the graph has no output {}", names::PREDICTION);
        };
        let clean = floats(names::LOGITS)?.zip(floats(names::PERTURBED_LOGITS)?);
        let all = clean.zip(floats(names::DIRECTION)?).zip(labels);
        let scores = all.map(|(((clean, perturbed), direction), &label)| {
            let largest = clean.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            Ok(Scores {
                prediction: largest.context("a network without classes")?.0,
                label: label as usize,
                msp: max_softmax(clean, 1.0),
                odin: max_softmax(perturbed, self.temperature),
                signs: direction.iter().map(|&s| s > 0.0).collect(),
            })
        });
        scores.collect()
    }
}

/// In f64.
fn max_softmax(logits: &[f32], temperature: f64) -> f64 {
    let scaled = || logits.iter().map(|&z| f64::from(z) / temperature);
    let max = scaled().fold(f64::NEG_INFINITY, f64::max);
    1.0 / scaled().map(|z| (z - max).exp()).sum::<f64>()
}
