//! Compiles a classifier and all of ODIN to one ONNX file.

use crate::{
    ChannelOrder, Classifier, DetectorCard, DetectorInput, DetectorRecord, Error, ErrorKind,
    Layout, Setting, ThresholdRule,
};
use odin_formats::onnx;
use odin_graph::odin::{self, detector};
use odin_graph::op::SliceAxis;
use odin_graph::{Graph, Op, Shape, Tensor, Type, ValueId, passes};

/// The name of a detector's input that holds pixels.
pub const IMAGES: &str = "images";

/// Settings of [`compile`].
#[derive(Debug, Clone, PartialEq)]
pub struct CompileOptions {
    setting: Setting,
    threshold: Option<f64>,
    target_tpr: Option<f64>,
    input: DetectorInput,
}

impl Default for CompileOptions {
    /// [`Setting::PAPER`], no threshold, the classifier's own input.
    fn default() -> Self {
        Self {
            setting: Setting::PAPER,
            threshold: None,
            target_tpr: None,
            input: DetectorInput::default(),
        }
    }
}

impl CompileOptions {
    /// The setting and the threshold of a calibrated detector.
    ///
    /// # Errors
    /// When it decides by another score than ODIN, or by a threshold for each class: a compiled
    /// detector does neither. When it has no score.
    pub fn calibrated(record: &DetectorRecord) -> Result<Self, Error> {
        let deciding = record.deciding()?;
        if deciding.name != "odin" {
            return Err(invalid(format!(
                "the detector decides by {}, a compiled detector by odin; calibrate with odin as the first score",
                deciding.name
            )));
        }
        if !deciding.classes.is_empty() {
            return Err(invalid(
                "the detector has a threshold for each class, a compiled detector has one for all; calibrate with one",
            ));
        }
        let options = Self::default()
            .setting(record.setting)
            .threshold(deciding.threshold);
        Ok(match deciding.rule {
            ThresholdRule::Tpr(tpr) => options.target_tpr(tpr),
            _ => options,
        })
    }

    /// The temperature and the magnitude, the latter on the [0, 1] pixel scale whatever the input.
    pub fn setting(mut self, setting: Setting) -> Self {
        self.setting = setting;
        self
    }

    /// An image whose ODIN score reaches this is taken for in-distribution; the file says so in
    /// an output of its own.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// The true-positive rate that the threshold was chosen for. Recorded in the file; nothing is
    /// computed from it.
    pub fn target_tpr(mut self, target_tpr: f64) -> Self {
        self.target_tpr = Some(target_tpr);
        self
    }

    /// The input of the file.
    pub fn input(mut self, input: DetectorInput) -> Self {
        self.input = input;
        self
    }

    fn check(&self) -> Result<(), Error> {
        self.setting.check()?;
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
/// `docs/detector_file.md` describes the file. Its metadata are those of [`DetectorCard`].
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
    let settings = odin::Settings {
        temperature: options.setting.temperature as f32,
        step: classifier.normalization().step(options.setting.magnitude),
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
    let axis = layout.channel_axis();
    let mut arranged = arrange(&mut g, pixels, kind, input, layout)?;
    if normalization.channels() == ChannelOrder::Bgr {
        arranged = reverse_channels(&mut g, arranged, axis)?;
    }
    if normalization.scale() != 1.0 {
        let scale = g.scalar(normalization.scale())?;
        arranged = g.mul(arranged, scale)?;
    }
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

fn reverse_channels(g: &mut Graph, x: ValueId, axis: usize) -> Result<ValueId, Error> {
    let channels = g.shape(x).dims().get(axis).and_then(|dim| dim.fixed());
    let mut planes = Vec::new();
    for channel in (0..channels.unwrap_or(0)).rev() {
        let only = SliceAxis {
            axis,
            start: channel,
            end: channel + 1,
            step: 1,
        };
        planes.push(g.slice(x, vec![only])?);
    }
    Ok(g.concat(&planes, axis)?)
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
        setting: options.setting,
        threshold: options.threshold,
        target_tpr: options.target_tpr,
        input: options.input,
        layout: classifier.layout(),
        normalization: classifier.normalization().clone(),
        transform: classifier.transform().cloned(),
        architecture: classifier.architecture().to_string(),
        class_names: classifier.class_names().map(<[String]>::to_vec),
        source_sha256: classifier.file().sha256.clone(),
        version: env!("CARGO_PKG_VERSION").to_string(),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
