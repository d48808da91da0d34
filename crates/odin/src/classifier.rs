use crate::model_file::{self, ModelFile};
use crate::network_input::NetworkInput;
use crate::preprocessing::Layers;
use crate::{
    DetectorCard, DetectorInput, Error, ErrorKind, Layout, ModelConfig, Normalization,
    Preprocessing, Provenance, Sourced, guess,
};
use odin_data::Image;
use odin_formats::{Checkpoint, onnx, zoo};
use odin_graph::{Graph, passes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a caller says of a model, beside where it lies.
///
/// Each setting comes from the first place that has it: [`ClassifierOptions::given`], the
/// `model.toml`, the model file, [`ClassifierOptions::defaults`], the network itself. What
/// nobody says is assumed; [`Classifier::preprocessing`] tells which is which.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ClassifierOptions {
    /// What is so whatever any file says.
    pub given: ModelConfig,
    /// The `model.toml`; without one, the file beside the model ([`ModelConfig::beside`]).
    pub config_file: Option<PathBuf>,
    /// What is so unless a file says otherwise, such as what a registry knows.
    pub defaults: ModelConfig,
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
    fn layers(self, config_file: Option<&Path>) -> Result<Layers, Error> {
        let given = (Provenance::Given, self.given);
        let config = match config_file {
            Some(path) => Some((
                Provenance::Config(path.to_path_buf()),
                ModelConfig::open(path)?,
            )),
            None => None,
        };
        let defaults = (Provenance::Registry, self.defaults);
        Ok(Layers::new(
            [Some(given), config, Some(defaults)].into_iter().flatten(),
        ))
    }
}

/// A trained network with what it needs to be fed.
#[derive(Debug, Clone)]
pub struct Classifier {
    graph: Graph,
    architecture: String,
    classes: usize,
    class_names: Option<Vec<String>>,
    preprocessing: Preprocessing,
    file: ModelFile,
    card: Option<DetectorCard>,
}

impl Classifier {
    /// Reads a model: a checkpoint (PyTorch or safetensors) of a known architecture, or an ONNX
    /// file. Which of them it is shows in its content, and of ONNX in the extension `.onnx`.
    ///
    /// ```no_run
    /// use odin::{Classifier, ClassifierOptions, Normalization};
    /// use std::path::Path;
    ///
    /// let path = Path::new("resnet.onnx");
    /// let as_the_files_say = Classifier::open(path, ClassifierOptions::default())?;
    /// let as_i_say = Classifier::open(path, Normalization::imagenet())?;
    /// # Ok::<(), odin::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, a checkpoint fits no known architecture, an ONNX file uses
    /// operators that are not supported, or what is said of the model does not fit it. The message
    /// names the file, and the tensor, node or key.
    pub fn open(path: &Path, options: impl Into<ClassifierOptions>) -> Result<Self, Error> {
        let options = options.into();
        let config_file = options.config_file.clone();
        let config_file = config_file.or_else(|| ModelConfig::beside(path));
        let layers = options.layers(config_file.as_deref())?;
        let bytes = model_file::read(path)?;
        let name = path.display().to_string();
        let mut classifier =
            if model_file::is_named_onnx(path) || model_file::looks_like_onnx(&bytes) {
                Self::from_onnx(&name, layers, |options| onnx::open(path, options))?
            } else {
                Self::read_checkpoint(&Checkpoint::from_bytes(&bytes, &name)?, layers)?
            };
        classifier.file.sha256 = Some(model_file::sha256(&bytes));
        Ok(classifier)
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
        let options = options.into();
        let config_file = options.config_file.clone();
        let layers = options.layers(config_file.as_deref())?;
        let mut classifier = if model_file::looks_like_onnx(bytes) {
            Self::from_onnx(name, layers, |options| onnx::read(bytes, name, options))?
        } else {
            Self::read_checkpoint(&Checkpoint::from_bytes(bytes, name)?, layers)?
        };
        classifier.file.sha256 = Some(model_file::sha256(bytes));
        Ok(classifier)
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
        let layers = Layers::new([(Provenance::Given, normalization.into())]);
        Self::of_zoo(checkpoint, model, layers)
    }

    fn read_checkpoint(checkpoint: &Checkpoint, layers: Layers) -> Result<Self, Error> {
        if let Some(output) = layers.first(|config| config.output.as_ref()) {
            let (name, output, from) = (checkpoint.name(), output.value, output.from);
            return Err(unfit(
                &from,
                format!(
                    "{name}: the output {output:?} ({from}) was asked for; only ONNX files have outputs to choose from"
                ),
            ));
        }
        let metadata = checkpoint.metadata();
        let metadata = metadata.map(|(k, v)| (k.to_string(), v.to_string()));
        let layers = layers.with_file(from_metadata(&metadata.collect())?);
        let mut model = zoo::build(checkpoint, None)?;
        let [c, height, width] = model.image_shape;
        if let Some(size) = layers.first(|config| config.size.as_ref())
            && size.value != [height, width]
        {
            let [height, width] = size.value;
            model = zoo::build(checkpoint, Some([c, height, width]))?;
        }
        Self::of_zoo(checkpoint, model, layers)
    }

    fn of_zoo(checkpoint: &Checkpoint, model: zoo::Model, layers: Layers) -> Result<Self, Error> {
        let file = ModelFile::of_checkpoint(checkpoint, &model.graph);
        let layout = Sourced {
            value: Layout::Nchw,
            from: Provenance::Network("as the architecture is built".to_string()),
        };
        let size = layers.first(|config| config.size.as_ref());
        let image_shape = Sourced {
            value: model.image_shape,
            from: size.map_or(
                Provenance::Assumed("usual for the architecture".to_string()),
                |size| size.from,
            ),
        };
        Self::assemble(
            model.graph,
            model.architecture,
            file,
            layout,
            image_shape,
            &layers,
        )
    }

    fn from_onnx(
        name: &str,
        layers: Layers,
        read: impl Fn(&onnx::ReadOptions) -> Result<onnx::Model, odin_formats::Error>,
    ) -> Result<Self, Error> {
        let model = read_onnx(&layers, read)?;
        let about = |e: Error| Error::new(e.kind(), format!("{name}: {e}"));
        let property = |key: &str| model.metadata.get(key).map(String::as_str);
        let card = DetectorCard::from_properties(property).map_err(about)?;
        let layers = match &card {
            Some(card) => layers.with_detector(of_detector(card)),
            None => layers.with_file(from_onnx_metadata(&model).map_err(about)?),
        };
        let extents = &model.input_shape;
        let layout = layers.first(|config| config.layout.as_ref());
        let layout = match layout {
            Some(layout) => layout,
            None => assumed_layout(name, extents)?,
        };
        let image_shape = layout.value.image_shape(extents).ok_or_else(|| {
            let (from, axes) = (&layout.from, layout.value.axes());
            let layout = layout.value;
            unfit(from, format!(
                "{name}: the layout {layout} has {axes} axes without the batch, the input has the extents {extents:?}"
            ))
        })?;
        let image_shape = with_size(name, image_shape, layout.value, &layers)?;
        let mut file = ModelFile::of_onnx(name, &model);
        if card.is_some() {
            // All outputs of a detector are known, and which of them are the logits.
            file.notices.clear();
        }
        let architecture = match &card {
            Some(card) => card.architecture.clone(),
            None => file.format.clone(),
        };
        let graph = model.graph;
        let classifier = Self::assemble(graph, architecture, file, layout, image_shape, &layers)?;
        Ok(Self { card, ..classifier })
    }

    /// What all kinds of files have in common.
    fn assemble(
        graph: Graph,
        architecture: String,
        file: ModelFile,
        layout: Sourced<Layout>,
        image_shape: Sourced<[usize; 3]>,
        layers: &Layers,
    ) -> Result<Self, Error> {
        let about = |e: Error| Error::new(e.kind(), format!("{}: {e}", file.name));
        let (classes, channels) = extents_of(&graph, layout.value)
            .ok_or_else(|| invalid("the network takes one input and gives logits [N, classes]"))
            .map_err(about)?;
        if let Some(said) = layers.first(|config| config.layout.as_ref())
            && said.value != layout.value
        {
            let (said, from, own) = (said.value, said.from, layout.value);
            return Err(about(unfit(
                &from,
                format!("the layout {said} ({from}) is not that of the network, {own}"),
            )));
        }
        let class_names = layers.first(|config| config.class_names.as_ref());
        if let Some(names) = class_names.as_ref().filter(|n| n.value.len() != classes) {
            let (found, from) = (names.value.len(), &names.from);
            return Err(about(invalid(format!(
                "there are {found} class names ({from}), the network has {classes} classes"
            ))));
        }
        let normalization = layers.first(|config| config.normalization.as_ref());
        let normalization = normalization.unwrap_or_else(|| {
            let guess = guess::normalization(&graph, layout.value, channels, image_shape.value);
            Sourced {
                value: guess.normalization,
                from: match guess.read_off {
                    true => Provenance::Network(guess.reason),
                    false => Provenance::Assumed(guess.reason),
                },
            }
        });
        let Sourced { value, from } = normalization;
        let fitted = value.for_channels(channels, layout.value);
        let value = fitted.map_err(|e| about(unfit(&from, format!("{e} ({from})"))))?;
        let normalization = Sourced { value, from };
        Ok(Self {
            graph: passes::fold_batch_norm(&graph)?,
            architecture,
            classes,
            class_names: class_names.map(|names| names.value),
            preprocessing: Preprocessing {
                image_shape,
                layout,
                normalization,
                transform: layers.first(|config| config.transform.as_ref()),
            },
            file,
            card: None,
        })
    }

    /// The network: normalised images in the order of [`Classifier::layout`] to logits
    /// `[N, classes]`.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Such as `DenseNet-BC-100-12`; for an ONNX file, its format.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The names of the classes, in the order of the logits, where known.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// `[C, H, W]` of one image. A signal `[C, L]` is an image `[C, 1, L]`, a volume
    /// `[C, D, H, W]` is `[1, C·D·H, W]`, a vector `[F]` is `[1, 1, F]` unless a size is given.
    pub fn image_shape(&self) -> [usize; 3] {
        self.preprocessing.image_shape.value
    }

    /// Whether an image has the shape that the network takes.
    ///
    /// # Errors
    /// When it has not; the message gives both.
    pub fn check_shape(&self, image: &Image) -> Result<(), Error> {
        NetworkInput::of(self).check_shape(image)
    }

    /// The order of the axes of the network's input.
    pub fn layout(&self) -> Layout {
        self.preprocessing.layout.value
    }

    /// How pixels become the network's input: a mean and a standard deviation for each entry of
    /// the input's channel axis ([`Layout::channel_axis`]).
    pub fn normalization(&self) -> &Normalization {
        &self.preprocessing.normalization.value
    }

    /// How images become the network's input, and who says so.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// What the file says of the detector in it, where `compile` wrote it. The network of this
    /// classifier is the one in the detector, without gradient and scores.
    pub fn detector_card(&self) -> Option<&DetectorCard> {
        self.card.as_ref()
    }

    /// The file that the network was read from.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// A setting that does not fit the model, the caller's own or a file's.
fn unfit(from: &Provenance, message: String) -> Error {
    match from {
        Provenance::Given => Error::new(ErrorKind::Options, message),
        _ => invalid(message),
    }
}

/// Tries what a given size may mean for a file that leaves its input open, until one fits.
fn read_onnx(
    layers: &Layers,
    read: impl Fn(&onnx::ReadOptions) -> Result<onnx::Model, odin_formats::Error>,
) -> Result<onnx::Model, Error> {
    let mut options = onnx::ReadOptions::default();
    options.output = layers
        .first(|config| config.output.as_ref())
        .map(|o| o.value);
    let Some(size) = layers.first(|config| config.size.as_ref()) else {
        return Ok(read(&options)?);
    };
    let [height, width] = size.value;
    let layout = layers.first(|config| config.layout.as_ref());
    let normalization = layers.first(|config| config.normalization.as_ref());
    let layouts = match layout {
        Some(layout) => vec![layout.value],
        None => vec![
            Layout::Nchw,
            Layout::Nhwc,
            Layout::Ncl,
            Layout::Nlc,
            Layout::Ncdhw,
        ],
    };
    // First those that the file says.
    let channels = match normalization.map(|n| n.value.mean().len()) {
        Some(channels) if channels > 1 => vec![None, Some(channels)],
        _ => vec![None, Some(3), Some(1)],
    };
    let mut first_error = None;
    for &channels in &channels {
        for &layout in &layouts {
            options.input_shape = Some(layout.extents(channels, [height, width]));
            match read(&options) {
                Ok(model) => return Ok(model),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
    }
    // A file that leaves nothing open says itself what it takes.
    options.input_shape = None;
    match (read(&options), first_error) {
        (Ok(model), _) => Ok(model),
        (Err(_), Some(first)) => Err(first.into()),
        (Err(error), None) => Err(error.into()),
    }
}

fn assumed_layout(name: &str, extents: &[usize]) -> Result<Sourced<Layout>, Error> {
    let layout = Layout::guess(extents).ok_or_else(|| {
        invalid(format!(
            "{name}: an input with the extents {extents:?} is neither images, signals nor vectors"
        ))
    })?;
    Ok(Sourced {
        value: layout,
        from: Provenance::Network("as its extents look".to_string()),
    })
}

/// The shape of the images of an ONNX file, checked against the size that somebody states. The
/// size of a vector says which images it is the elements of.
fn with_size(
    name: &str,
    [c, h, w]: [usize; 3],
    layout: Layout,
    layers: &Layers,
) -> Result<Sourced<[usize; 3]>, Error> {
    let Some(size) = layers.first(|config| config.size.as_ref()) else {
        return Ok(Sourced {
            value: [c, h, w],
            from: Provenance::File,
        });
    };
    let ([height, width], from) = (size.value, size.from);
    let (elements, area) = (c * h * w, height * width);
    let value = match layout {
        Layout::Nf if elements.is_multiple_of(area) => [elements / area, height, width],
        _ if layout.has_size([c, h, w], size.value) => [c, h, w],
        _ => {
            return Err(unfit(
                &from,
                format!(
                    "{name}: the size {height}x{width} ({from}) is not that of the network's input, {h}x{w}"
                ),
            ));
        }
    };
    Ok(Sourced { value, from })
}

/// The numbers of classes and of channels.
fn extents_of(graph: &Graph, layout: Layout) -> Option<(usize, usize)> {
    let (input, _) = graph.inputs().next()?;
    let logits = graph.shape(graph.outputs().first()?.value);
    let classes = logits.dims().get(1)?.fixed()?;
    let channels = graph.shape(input).dims().get(layout.channel_axis())?;
    Some((classes, channels.fixed()?))
}

/// What a file carries as text: `mean`, `std`, and `input = "1x8x8"`.
fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<ModelConfig, Error> {
    let numbers = |key: &str| -> Option<Vec<f32>> {
        let values = metadata.get(key)?.trim_matches(['[', ']']).split(',');
        values.map(|v| v.trim().parse().ok()).collect()
    };
    let size = |text: &String| -> Option<[usize; 2]> {
        let extents: Option<Vec<usize>> = text.split('x').map(|v| v.trim().parse().ok()).collect();
        let [_, height, width] = extents?[..] else {
            return None;
        };
        Some([height, width])
    };
    let mut config = ModelConfig::default();
    if let (Some(mean), Some(std)) = (numbers("mean"), numbers("std")) {
        config.normalization = Some(Normalization::new(&mean, &std)?);
    }
    config.size = metadata.get("input").and_then(size);
    Ok(config)
}

fn from_onnx_metadata(model: &onnx::Model) -> Result<ModelConfig, Error> {
    let metadata = model.metadata.iter();
    let metadata = metadata.map(|(k, v)| (k.clone(), v.clone()));
    let mut config = from_metadata(&metadata.collect())?;
    // The file itself says of what shape its input is.
    config.size = None;
    if model.input_is_bytes {
        config.normalization = Some(Normalization::bytes());
    }
    Ok(config)
}

/// What is so for the network in a detector file, whose preprocessing may be in the file too.
fn of_detector(card: &DetectorCard) -> ModelConfig {
    let (normalization, layout) = match card.input {
        DetectorInput::Normalized => (card.normalization.clone(), card.layout),
        DetectorInput::PixelsU8 => (Normalization::bytes(), Layout::Nhwc),
        DetectorInput::PixelsF32 => (Normalization::identity(), Layout::Nchw),
    };
    ModelConfig {
        normalization: Some(normalization),
        layout: Some(layout),
        class_names: card.class_names.clone(),
        ..ModelConfig::default()
    }
}
