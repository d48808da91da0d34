//! A classifier and all of ODIN in one ONNX file.

use crate::{Classifier, DetectorCard, Error, ErrorKind, Layout};
use odin_formats::onnx;
use odin_graph::odin::{Settings, detector};
use odin_graph::{Graph, Op, Shape, Tensor, Type, ValueId, passes};
use std::fmt;
use std::str::FromStr;

/// The name of a detector's input that holds pixels.
pub const IMAGES: &str = "images";

/// What a detector file takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DetectorInput {
    /// The classifier's own input under its own name: ready-made, normalised.
    #[default]
    Normalized,
    /// [`IMAGES`], `uint8 [N, H, W, C]`, 0 to 255.
    PixelsU8,
    /// [`IMAGES`], `float32 [N, C, H, W]`, 0 to 1.
    PixelsF32,
}

impl DetectorInput {
    const ALL: [Self; 3] = [Self::Normalized, Self::PixelsU8, Self::PixelsF32];

    /// As options and files spell it: `normalized`, `pixels-u8`, `pixels-f32`.
    pub fn as_str(self) -> &'static str {
        match self {
            DetectorInput::Normalized => "normalized",
            DetectorInput::PixelsU8 => "pixels-u8",
            DetectorInput::PixelsF32 => "pixels-f32",
        }
    }
}

impl fmt::Display for DetectorInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DetectorInput {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut same = Self::ALL.into_iter().filter(|kind| kind.as_str() == text);
        same.next().ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            invalid(format!(
                "there is no input {text:?}; the inputs are {names}"
            ))
        })
    }
}

/// Settings of [`compile`].
#[derive(Debug, Clone, PartialEq)]
pub struct CompileOptions {
    temperature: f64,
    magnitude: f64,
    threshold: Option<f64>,
    target_tpr: Option<f64>,
    input: DetectorInput,
}

impl Default for CompileOptions {
    /// T = 1000, ε = 0.0014, no threshold, the classifier's own input.
    fn default() -> Self {
        Self {
            temperature: 1000.0,
            magnitude: 0.0014,
            threshold: None,
            target_tpr: None,
            input: DetectorInput::default(),
        }
    }
}

impl CompileOptions {
    /// The temperature T of both the perturbation and the score.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// The magnitude ε of the perturbation, on the [0, 1] pixel scale whatever the input.
    pub fn magnitude(mut self, magnitude: f64) -> Self {
        self.magnitude = magnitude;
        self
    }

    /// An image whose ODIN score reaches this is taken for in-distribution; the file says so in
    /// an output of its own.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// The true-positive rate that the threshold was chosen for. Only written down.
    pub fn target_tpr(mut self, target_tpr: f64) -> Self {
        self.target_tpr = Some(target_tpr);
        self
    }

    /// What the file takes.
    pub fn input(mut self, input: DetectorInput) -> Self {
        self.input = input;
        self
    }

    fn check(&self) -> Result<(), Error> {
        let (t, magnitude) = (self.temperature, self.magnitude);
        if !((t as f32).is_finite() && t as f32 > 0.0) {
            return Err(invalid(format!(
                "the temperature must be positive and finite, it is {t}"
            )));
        }
        if !(magnitude.is_finite() && magnitude >= 0.0) {
            return Err(invalid(format!(
                "the magnitude must be a number from 0, it is {magnitude}"
            )));
        }
        match self.threshold.filter(|threshold| !threshold.is_finite()) {
            Some(threshold) => Err(invalid(format!(
                "the threshold must be a number, it is {threshold}"
            ))),
            None => Ok(()),
        }
    }
}

/// Writes a classifier, with ODIN built into it, as an ONNX file that any runtime executes:
/// forward pass, input gradient, perturbation, second forward pass, scores and decision.
///
/// `docs/detector_file.md` describes the file. It says of itself what [`DetectorCard`] holds.
///
/// # Errors
/// When an option is out of its range, or an operator of the network has no gradient or no form
/// in ONNX.
pub fn compile(classifier: &Classifier, options: &CompileOptions) -> Result<Vec<u8>, Error> {
    options.check()?;
    let card = card(classifier, options);
    let labels = onnx::Labels {
        name: "odin".to_string(),
        producer_version: card.version.clone(),
        metadata: card.to_properties(),
    };
    let input = match options.input {
        DetectorInput::PixelsU8 => onnx::InputType::Byte,
        DetectorInput::Normalized | DetectorInput::PixelsF32 => onnx::InputType::Float,
    };
    let graph = detector_graph(classifier, options)?;
    Ok(onnx::write(&graph, input, &labels)?)
}

fn detector_graph(classifier: &Classifier, options: &CompileOptions) -> Result<Graph, Error> {
    let step = |&std: &f32| (options.magnitude / f64::from(std)) as f32;
    let settings = Settings {
        temperature: options.temperature as f32,
        step: classifier.normalization().std().iter().map(step).collect(),
        threshold: options.threshold.map(|threshold| threshold as f32),
    };
    let network = classifier.graph();
    let detector = detector(network, classifier.layout().channel_axis(), &settings)?;
    match (options.input, network.inputs().next()) {
        (DetectorInput::Normalized, _) | (_, None) => Ok(detector),
        (kind, Some((_, input))) => {
            let preprocessing = preprocessing(classifier, kind, &input.ty)?;
            Ok(passes::bind_input(&detector, &input.name, &preprocessing)?)
        }
    }
}

/// From pixels to the network's input, step by step as [`Classifier`] prepares them.
fn preprocessing(
    classifier: &Classifier,
    kind: DetectorInput,
    input: &Type,
) -> Result<Graph, Error> {
    let (layout, normalization) = (classifier.layout(), classifier.normalization());
    let [c, h, w] = classifier.image_shape();
    let images = match kind {
        DetectorInput::PixelsU8 => [h, w, c],
        _ => [c, h, w],
    };
    let mut g = Graph::new();
    g.at("preprocessing");
    let mut pixels = g.input(IMAGES, Type::float(Shape::batched(&images)))?;
    if kind == DetectorInput::PixelsU8 {
        let white = g.scalar(255.0)?;
        pixels = g.div(pixels, white)?;
    }
    let arranged = arrange(&mut g, pixels, kind, input, layout)?;
    let axis = layout.channel_axis();
    let mean = per_channel(&mut g, normalization.mean(), input.shape.rank(), axis)?;
    let std = per_channel(&mut g, normalization.std(), input.shape.rank(), axis)?;
    let centred = g.sub(arranged, mean)?;
    let normalized = g.div(centred, std)?;
    g.output("normalized", normalized);
    Ok(g)
}

/// From the axes of the pixels to those of the network. A signal is a grey image of one row for
/// each channel; a vector holds an image channel by channel.
fn arrange(
    g: &mut Graph,
    pixels: ValueId,
    kind: DetectorInput,
    input: &Type,
    layout: Layout,
) -> Result<ValueId, Error> {
    let transpose = |g: &mut Graph, x, perm: &[usize]| g.add(Op::Transpose(perm.to_vec()), &[x]);
    let channels_last = kind == DetectorInput::PixelsU8;
    if layout == Layout::Nhwc && channels_last {
        return Ok(pixels);
    }
    let planes = match channels_last {
        true => transpose(g, pixels, &[0, 3, 1, 2])?,
        false => pixels,
    };
    Ok(match layout {
        Layout::Nchw => planes,
        Layout::Nhwc => transpose(g, planes, &[0, 2, 3, 1])?,
        Layout::Ncl | Layout::Ncdhw | Layout::Nf => g.reshape(planes, input.shape.clone())?,
        Layout::Nlc => {
            let dims = input.shape.dims();
            let rows = g.reshape(planes, Shape::new([dims[0], dims[2], dims[1]]))?;
            transpose(g, rows, &[0, 2, 1])?
        }
    })
}

/// A value for each channel, shaped to be broadcast with the network's input.
fn per_channel(
    g: &mut Graph,
    values: &[f32],
    rank: usize,
    channel_axis: usize,
) -> Result<ValueId, Error> {
    let mut shape = vec![1; rank];
    shape[channel_axis] = values.len();
    Ok(g.constant(Tensor::new(shape, values)?)?)
}

fn card(classifier: &Classifier, options: &CompileOptions) -> DetectorCard {
    DetectorCard {
        temperature: options.temperature,
        magnitude: options.magnitude,
        threshold: options.threshold,
        target_tpr: options.target_tpr,
        input: options.input,
        layout: classifier.layout(),
        normalization: classifier.normalization().clone(),
        architecture: classifier.architecture().to_string(),
        class_names: classifier.class_names().map(<[String]>::to_vec),
        source_sha256: classifier.file().sha256.clone(),
        version: env!("CARGO_PKG_VERSION").to_string(),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
