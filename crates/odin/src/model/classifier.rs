//! A trained network with its preprocessing and the names of its classes.

use super::config_stack::ConfigStack;
use super::network::{Network, invalid, unfit};
use super::source::ModelSource;
use super::{
    DetectorCard, Layout, ModelConfig, ModelFile, Normalization, Preprocessing, Provenance,
    Sourced, assume, checkpoint, onnx,
};
use crate::{Error, names};
use odin_data::Transform;
use odin_formats::{Checkpoint, zoo};
use odin_graph::odin::{Probabilities, with_own_names};
use odin_graph::{Graph, passes};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The settings of a model that a caller can give.
///
/// Each setting comes from the first place that has it: [`ClassifierOptions::given`], the
/// `model.toml`, the model file, [`ClassifierOptions::defaults`], the network itself. Settings that
/// no source states are assumed; [`Classifier::preprocessing`] tells which is which.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ClassifierOptions {
    /// Settings that take precedence over every file.
    pub given: ModelConfig,
    /// The `model.toml`; without one, the file beside the model ([`ModelConfig::beside`]).
    pub config_file: Option<PathBuf>,
    /// Defaults, over which every file takes precedence, such as those of a registry.
    pub defaults: ModelConfig,
    /// Whether `given` is what a detector says.
    of_detector: bool,
}

impl From<ModelConfig> for ClassifierOptions {
    fn from(given: ModelConfig) -> Self {
        Self {
            given,
            ..Self::default()
        }
    }
}

impl From<Normalization> for ClassifierOptions {
    fn from(normalization: Normalization) -> Self {
        ModelConfig::from(normalization).into()
    }
}

impl ClassifierOptions {
    /// What a detector says of its network.
    pub(crate) fn of_detector(config: ModelConfig) -> Self {
        Self {
            of_detector: true,
            ..Self::from(config)
        }
    }

    fn stack(self, config_file: Option<&Path>) -> Result<ConfigStack, Error> {
        let from = match self.of_detector {
            true => Provenance::Detector,
            false => Provenance::Given,
        };
        let given = (from, self.given);
        let config = match config_file {
            Some(path) => Some((
                Provenance::Config(path.to_path_buf()),
                ModelConfig::open(path)?,
            )),
            None => None,
        };
        let defaults = (Provenance::Registry, self.defaults);
        Ok(ConfigStack::new(
            [Some(given), config, Some(defaults)].into_iter().flatten(),
        ))
    }
}

/// A trained network with everything from a decoded image to logits: transform, size, order of
/// channels, normalisation, layout, names of classes. A clone shares all of it.
#[derive(Debug, Clone)]
pub struct Classifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    graph: Graph,
    architecture: String,
    classes: usize,
    multi_label: bool,
    class_names: Option<Vec<String>>,
    preprocessing: Preprocessing,
    file: ModelFile,
    card: Option<DetectorCard>,
}

impl Classifier {
    /// Reads a model: a checkpoint (PyTorch or safetensors) of a known architecture, or an ONNX
    /// file. Which of them it is shows in its content, and of ONNX in the extension `.onnx`.
    ///
    /// ```
    /// use odin::{Classifier, ClassifierOptions, Normalization};
    /// use std::path::Path;
    ///
    /// # let path = &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/model.safetensors");
    /// let as_the_files_say = Classifier::open(path, ClassifierOptions::default())?;
    /// let as_i_say = Classifier::open(path, Normalization::identity())?;
    /// assert_eq!(as_the_files_say.classes(), 6);
    /// # Ok::<(), odin::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, a checkpoint fits no known architecture, an ONNX file uses
    /// operators that are not supported, or what is said of the model does not fit it. The message
    /// names the file, and the tensor, node or key.
    pub fn open(
        path: impl AsRef<Path>,
        options: impl Into<ClassifierOptions>,
    ) -> Result<Self, Error> {
        let (path, mut options) = (path.as_ref(), options.into());
        let config_file = options.config_file.take();
        options.config_file = config_file.or_else(|| ModelConfig::beside(path));
        Self::from_source(&ModelSource::open(path)?, options)
    }

    /// Reads a model that is in memory already; `name` is what errors call it. No `model.toml` is
    /// looked for unless the options name one.
    ///
    /// # Errors
    /// As [`Classifier::open`].
    pub fn from_bytes(
        bytes: &[u8],
        name: &str,
        options: impl Into<ClassifierOptions>,
    ) -> Result<Self, Error> {
        Self::from_source(&ModelSource::of_bytes(bytes, name), options.into())
    }

    /// The configuration file is the one that the options name.
    pub(crate) fn from_source(
        source: &ModelSource,
        mut options: ClassifierOptions,
    ) -> Result<Self, Error> {
        let config_file = options.config_file.take();
        let stack = options.stack(config_file.as_deref())?;
        let mut files: Vec<PathBuf> = source.path.iter().cloned().collect();
        let (mut network, stack) = match source.onnx() {
            Some(file) => {
                let file = file?;
                files.extend(file.external_files());
                onnx::read(&source.name, &file, stack)?
            }
            None => checkpoint::open(source, stack)?,
        };
        files.extend(config_file.iter().flat_map(|path| ModelConfig::files(path)));
        network.file.files = files;
        network.file.sha256 = Some(source.sha256.clone());
        Self::assemble(network, &stack)
    }

    /// Builds the network that a checkpoint's weights belong to. `image_shape` is
    /// `[C, H, W]`, by default what the architecture is usually trained on.
    ///
    /// # Errors
    /// As [`Classifier::open`]; and when the network has another number of channels.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        image_shape: Option<[usize; 3]>,
        normalization: Normalization,
    ) -> Result<Self, Error> {
        let model = zoo::build(checkpoint, image_shape)?;
        let stack = ConfigStack::new([(Provenance::Given, normalization.into())]);
        let from = Provenance::Assumed("usual for the architecture".to_string());
        Self::assemble(checkpoint::of_zoo(checkpoint, model, from), &stack)
    }

    /// Combines the network of the file with the settings from all sources.
    fn assemble(network: Network, stack: &ConfigStack) -> Result<Self, Error> {
        let name = network.file.name.clone();
        Self::assembled(network, stack).map_err(|e| e.about(name))
    }

    fn assembled(network: Network, stack: &ConfigStack) -> Result<Self, Error> {
        let (graph, layout) = (&network.graph, network.layout.value);
        let (classes, channels) = extents_of(graph, layout)
            .ok_or_else(|| invalid("the network takes one input and gives logits [N, classes]"))?;
        if let Some(said) = stack.first(|config| config.layout.as_ref())
            && said.value != layout
        {
            let (said, from) = (said.value, said.from);
            return Err(unfit(
                &from,
                format!("the layout {said} ({from}) is not that of the network, {layout}"),
            ));
        }
        let class_names = stack.first(|config| config.class_names.as_ref());
        if let Some(names) = class_names.as_ref().filter(|n| n.value.len() != classes) {
            let (found, from) = (names.value.len(), &names.from);
            return Err(invalid(format!(
                "there are {found} class names ({from}), the network has {classes} classes"
            )));
        }
        Ok(Self(Arc::new(Inner {
            classes,
            multi_label: stack
                .first(|config| config.multi_label.as_ref())
                .is_some_and(|said| said.value),
            class_names: class_names.map(|names| names.value),
            preprocessing: Preprocessing {
                normalization: normalization(&network, channels, stack)?,
                image_shape: network.image_shape,
                layout: network.layout,
                transform: stack.first(|config| config.transform.as_ref()),
            },
            // One name for the input in all graphs that are made of this one.
            graph: with_own_names(passes::fold_batch_norm(&network.graph)?, &names::outputs()),
            architecture: network.architecture,
            file: network.file,
            card: network.card,
        })))
    }

    /// The network: normalised images in the order of [`Classifier::layout`] to logits
    /// `[N, classes]`.
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// Such as `DenseNet-BC-100-12`; for an ONNX file, its format.
    pub fn architecture(&self) -> &str {
        &self.0.architecture
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.0.classes
    }

    /// Whether the classes are labels that do not exclude each other: the network was trained with a
    /// sigmoid of each, so that MSP and ODIN are those of the largest sigmoid and not of a softmax.
    pub fn is_multi_label(&self) -> bool {
        self.0.multi_label
    }

    /// What its logits are turned into.
    pub(crate) fn probabilities(&self) -> Probabilities {
        match self.is_multi_label() {
            true => Probabilities::Sigmoid,
            false => Probabilities::Softmax,
        }
    }

    /// The names of the classes, in the order of the logits, where known.
    pub fn class_names(&self) -> Option<&[String]> {
        self.0.class_names.as_deref()
    }

    /// `[C, H, W]` of one image. A signal `[C, L]` is an image `[C, 1, L]`, a volume
    /// `[C, D, H, W]` is `[1, C·D·H, W]`, a vector `[F]` is `[1, 1, F]` unless a size is given.
    pub fn image_shape(&self) -> [usize; 3] {
        self.0.preprocessing.image_shape.value
    }

    /// The order of the axes of the network's input.
    pub fn layout(&self) -> Layout {
        self.0.preprocessing.layout.value
    }

    /// How pixels become the network's input: a mean and a standard deviation for each entry of
    /// the input's channel axis ([`Layout::channel_axis`]).
    pub fn normalization(&self) -> &Normalization {
        &self.0.preprocessing.normalization.value
    }

    /// What every image goes through before it is normalised, where the model asks for it.
    pub fn transform(&self) -> Option<&Transform> {
        let transform = self.0.preprocessing.transform.as_ref();
        transform.map(|transform| &transform.value)
    }

    /// How images become the network's input, and the source of each setting.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.0.preprocessing
    }

    /// Whether the network takes vectors, and no source states which images these are.
    pub fn takes_any_shape(&self) -> bool {
        self.layout() == Layout::Nf && matches!(self.image_shape(), [1, 1, _])
    }

    /// Whether the network takes signals, vectors or images that are no pictures, whose values may
    /// be any real numbers.
    pub fn takes_measurements(&self) -> bool {
        let [channels, height, _] = self.image_shape();
        self.takes_any_shape() || height == 1 || !matches!(channels, 1 | 3)
    }

    /// What the file says of the detector in it, where [`compile`](crate::compile) wrote it. The
    /// network of this classifier is the one in the detector, without gradient and scores.
    pub fn detector_card(&self) -> Option<&DetectorCard> {
        self.0.card.as_ref()
    }

    /// The file that the network was read from.
    pub fn file(&self) -> &ModelFile {
        &self.0.file
    }

    /// All settings, wherever they came from.
    pub(crate) fn config(&self) -> ModelConfig {
        let [_, height, width] = self.image_shape();
        let outputs = self.graph().outputs();
        // Only ONNX files have outputs to choose from; those of a compiled detector are known.
        let named = self.file().opset.is_some() && self.detector_card().is_none();
        ModelConfig {
            size: Some([height, width]),
            transform: self.transform().cloned(),
            scale: Some(self.normalization().scale()),
            channels: Some(self.normalization().channels()),
            normalization: Some(self.normalization().clone()),
            layout: Some(self.layout()),
            class_names: self.class_names().map(<[String]>::to_vec),
            output: outputs.first().filter(|_| named).map(|o| o.name.clone()),
            weights: self.file().weights.clone(),
            multi_label: Some(self.is_multi_label()),
        }
    }

    /// Identifies network and preprocessing: the SHA-256 of the hash of the model file and of all
    /// settings that change its logits. Of weights that came from memory, only the architecture is
    /// known.
    pub fn fingerprint(&self) -> [u8; 32] {
        let text = |value: Option<String>| value.unwrap_or_default();
        let ModelConfig {
            output, weights, ..
        } = self.config();
        let normalization = self.normalization();
        let multi_label = self.is_multi_label().then(|| "multi-label".to_string());
        let parts = [
            text(self.file().sha256.clone()),
            self.architecture().to_string(),
            format!("{:?}", self.image_shape()),
            self.layout().to_string(),
            text(self.transform().map(Transform::notation)),
            format!("{:?}", normalization.mean()),
            format!("{:?}", normalization.std()),
            normalization.scale().to_string(),
            normalization.channels().to_string(),
            text(output),
            text(weights),
        ];
        // Others have the fingerprint that they had before there were such networks.
        let parts = parts.into_iter().chain(multi_label);
        let parts: Vec<String> = parts.collect();
        Sha256::digest(parts.join("\0")).into()
    }
}

/// The normalisation that a source states, or else the assumed one.
fn normalization(
    network: &Network,
    channels: usize,
    stack: &ConfigStack,
) -> Result<Sourced<Normalization>, Error> {
    let (layout, image_shape) = (network.layout.value, network.image_shape.value);
    let scale = stack.first(|config| config.scale.as_ref());
    let order = stack.first(|config| config.channels.as_ref());
    let said = stack.first(|config| config.normalization.as_ref());
    let Sourced { value, from } = match (said, &scale) {
        (Some(said), _) => said,
        // A scale without a mean and std means that there is no other normalisation.
        (None, Some(scale)) => Sourced {
            value: Normalization::identity(),
            from: scale.from.clone(),
        },
        (None, None) => assume::normalization(&network.graph, layout, channels, image_shape),
    };
    if let Some(scale) = scale.as_ref().filter(|scale| scale.value != 1.0)
        && matches!(from, Provenance::File | Provenance::Registry)
        && scale.from != from
    {
        return Err(unfit(
            &scale.from,
            format!(
                "the scale {} ({}) is that of a mean and std, which come from another source ({from}); give all three in one place",
                scale.value, scale.from
            ),
        ));
    }
    // An error names the source of the setting that does not fit.
    let about = |from: &Provenance, e: Error| unfit(from, format!("{e} ({from})"));
    let value = match &scale {
        Some(scale) => value
            .with_scale(scale.value)
            .map_err(|e| about(&scale.from, e))?,
        None => value,
    };
    let value = value
        .for_channels(channels, layout)
        .map_err(|e| about(&from, e))?;
    let value = match &order {
        Some(order) => value
            .with_channels(order.value)
            .for_channels(channels, layout)
            .map_err(|e| about(&order.from, e))?,
        None => value,
    };
    let pictures = matches!(layout, Layout::Nchw | Layout::Nhwc) && matches!(channels, 1 | 3);
    match value.out_of_scale().filter(|_| pictures) {
        None => Ok(Sourced { value, from }),
        Some(number) => Err(unfit(
            &from,
            format!(
                "mean and std ({from}) contain {number}, which cannot be for pixels from 0 to {}; for a network that takes levels from 0 to 255 the scale must be 255, or else divide both by 255",
                value.scale()
            ),
        )),
    }
}

/// The numbers of classes and of channels.
fn extents_of(graph: &Graph, layout: Layout) -> Option<(usize, usize)> {
    let (input, _) = graph.inputs().next()?;
    let logits = graph.shape(graph.outputs().first()?.value);
    let classes = logits.dims().get(1)?.fixed()?;
    let channels = graph.shape(input).dims().get(layout.channel_axis())?;
    Some((classes, channels.fixed()?))
}
