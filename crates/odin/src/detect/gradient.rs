//! The gradient whose sign ODIN follows, for those who want to look at it.

use super::backend::Backend;
use super::detector::Detector;
use crate::input::InputPipeline;
use crate::{Error, ErrorKind, Setting};
use odin_cpu::Output;
use odin_data::Image;
use odin_graph::odin::{Extras, names, transform_with};
use std::fmt;
use std::sync::Arc;

/// The input gradient of the log-softmax score of the predicted class at temperature T,
/// `∂ log S_ŷ(x; T) / ∂x`: ODIN moves each pixel by ε along its sign (Liang, Li, Srikant 2018,
/// equation 2).
///
/// ```
/// # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
/// use odin::{Classifier, ClassifierOptions, Detector};
///
/// let model = demo.join("model.safetensors");
/// let classifier = Classifier::open(model, ClassifierOptions::default())?;
/// let detector = Detector::builder(&classifier).build()?;
/// let image = detector.open_images(demo.join("in.npy"))?.get(0)?.image;
/// let gradients = detector.input_gradient()?.of(&[image])?;
/// assert_eq!(gradients[0].len(), 8 * 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct InputGradient {
    engine: Arc<Backend>,
    input: InputPipeline,
    temperature: f64,
}

impl fmt::Debug for InputGradient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputGradient")
            .field("temperature", &self.temperature)
            .finish_non_exhaustive()
    }
}

impl Detector {
    /// Prepares the network for its input gradient at this detector's temperature.
    ///
    /// # Errors
    /// When the device is not there.
    pub fn input_gradient(&self) -> Result<InputGradient, Error> {
        let classifier = self.classifier();
        let extras = Extras {
            gradient: true,
            probabilities: classifier.probabilities(),
            ..Extras::default()
        };
        let axis = classifier.layout().channel_axis();
        let graph = transform_with(classifier.graph(), axis, extras)?;
        let precision = self.setting().precision;
        Ok(InputGradient {
            engine: Arc::new(Backend::new(&graph, self.engine_options(), precision)?),
            input: self.input().clone(),
            temperature: self.setting().temperature,
        })
    }
}

impl InputGradient {
    /// The same at another temperature; nothing is prepared again.
    ///
    /// # Errors
    /// When the temperature is out of its range.
    pub fn at(&self, temperature: f64) -> Result<Self, Error> {
        let setting = Setting::new(temperature, 0.0)?;
        Ok(Self {
            temperature: setting.temperature,
            ..self.clone()
        })
    }

    /// The gradient for each image as it was decoded (the model's transform is applied first): a
    /// value for each of the `C·H·W` pixels that the network sees, in the order CHW, on the
    /// [0, 1] pixel scale.
    ///
    /// # Errors
    /// When an image has not the shape that the network takes.
    pub fn of(&self, decoded: &[Image]) -> Result<Vec<Vec<f32>>, Error> {
        self.of_prepared(&self.input.transform(decoded)?)
    }

    /// The same for images of the network's shape.
    ///
    /// # Errors
    /// When an image has another shape.
    pub fn of_prepared(&self, images: &[Image]) -> Result<Vec<Vec<f32>>, Error> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.input.normalize(images)?;
        let (temperature, step) = ([self.temperature as f32], self.input.step(0.0));
        let inputs = [
            (self.input.name.as_str(), &batch[..]),
            (names::TEMPERATURE, &temperature[..]),
            (names::STEP, &step[..]),
        ];
        let outputs = self.engine.run(images.len(), &inputs)?;
        let (Some(Output::Float(logits)), Some(Output::Float(gradient))) =
            (outputs.first(), outputs.get(GRADIENT))
        else {
            let problem = "the engine left out the gradient";
            return Err(Error::new(ErrorKind::Engine, problem));
        };
        let classes = logits.len() / images.len();
        let values = gradient.len() / images.len();
        let each = logits.chunks(classes).zip(gradient.chunks(values));
        Ok(each
            .map(|(logits, gradient)| self.unscaled(logits, gradient))
            .collect())
    }

    /// The graph gives the gradient of `-log S_ŷ` times `T / (1 - S_ŷ)`.
    fn unscaled(&self, logits: &[f32], gradient: &[f32]) -> Vec<f32> {
        let factor = -(others(logits, self.temperature) / self.temperature);
        let mut pixels = self.input.pull_back(gradient);
        for pixel in &mut pixels {
            *pixel = (f64::from(*pixel) * factor) as f32;
        }
        pixels
    }
}

/// The place of the gradient among the outputs of [`transform_with`], after logits, prediction and
/// perturbed logits.
const GRADIENT: usize = 3;

/// `1 - S_ŷ`, the softmax of all classes but the predicted one, summed without cancellation.
fn others(logits: &[f32], temperature: f64) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let predicted = logits.iter().position(|&z| z == largest);
    let others = (0..)
        .zip(logits)
        .filter(|&(class, _)| Some(class) != predicted);
    let others: f64 = others
        .map(|(_, &z)| ((f64::from(z) - f64::from(largest)) / temperature).exp())
        .sum();
    others / (1.0 + others)
}
