//! Reads the network of an ONNX file, and resolves the input size where the file leaves it open.

use super::checkpoint::from_metadata;
use super::config_stack::ConfigStack;
use super::network::{Network, invalid, unfit};
use super::source::of_onnx;
use super::{DetectorCard, DetectorInput, Layout, ModelConfig, Normalization, Provenance, Sourced};
use crate::Error;
use odin_formats::onnx;

/// Reads the classifier in a file; `stack` gets what the file says.
pub(super) fn read(
    name: &str,
    file: &onnx::File,
    stack: ConfigStack,
) -> Result<(Network, ConfigStack), Error> {
    if let Some(weights) = stack.first(|config| config.weights.as_ref()) {
        let (weights, from) = (weights.value, weights.from);
        return Err(unfit(
            &from,
            format!(
                "{name}: the weights {weights:?} ({from}) were asked for; only checkpoints have several to choose from"
            ),
        ));
    }
    let model = classifier(file, &stack)?;
    let property = |key: &str| model.metadata.get(key).map(String::as_str);
    let card = DetectorCard::from_properties(property).map_err(|e| e.about(name))?;
    let stack = match &card {
        Some(card) => stack.with_detector(of_detector(card)),
        None => stack.with_file(of_metadata(&model).map_err(|e| e.about(name))?),
    };
    let extents = &model.input_shape;
    let layout = match stack.first(|config| config.layout.as_ref()) {
        Some(layout) => layout,
        None => assumed_layout(name, extents)?,
    };
    let image_shape = layout.value.image_shape(extents).ok_or_else(|| {
        let (from, axes) = (&layout.from, layout.value.axes());
        let layout = layout.value;
        unfit(from, format!(
            "{name}: the layout {layout} ({from}) has {axes} axes without the batch, the input has the extents {extents:?}"
        ))
    })?;
    let image_shape = with_size(name, image_shape, layout.value, &stack)?;
    let mut file = of_onnx(name, &model);
    if card.is_some() {
        // All outputs of a detector are known, and which of them are the logits.
        file.notices.clear();
    }
    let architecture = match &card {
        Some(card) => card.architecture.clone(),
        None => file.format.clone(),
    };
    let network = Network {
        graph: model.graph,
        architecture,
        file,
        layout,
        image_shape,
        card,
    };
    Ok((network, stack))
}

/// Tries what a given size may mean for a file that leaves its input open, until one fits.
fn classifier(file: &onnx::File, stack: &ConfigStack) -> Result<onnx::Model, Error> {
    let mut options = onnx::ReadOptions::default();
    options.output = stack
        .first(|config| config.output.as_ref())
        .map(|o| o.value);
    options.classes = stack
        .first(|config| config.class_names.as_ref())
        .map(|names| names.value.len());
    let Some(size) = stack.first(|config| config.size.as_ref()) else {
        return Ok(file.classifier(&options)?);
    };
    let [height, width] = size.value;
    let layout = stack.first(|config| config.layout.as_ref());
    let normalization = stack.first(|config| config.normalization.as_ref());
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
            match file.classifier(&options) {
                Ok(model) => return Ok(model),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
    }
    // A file that leaves nothing open says itself what it takes.
    options.input_shape = None;
    let as_it_says = file.classifier(&options);
    Ok(as_it_says.map_err(|own| first_error.unwrap_or(own))?)
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

/// The shape of the images of an ONNX file, checked against a given size. The size of a vector says
/// which images it is the elements of.
fn with_size(
    name: &str,
    [c, h, w]: [usize; 3],
    layout: Layout,
    stack: &ConfigStack,
) -> Result<Sourced<[usize; 3]>, Error> {
    let Some(size) = stack.first(|config| config.size.as_ref()) else {
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

fn of_metadata(model: &onnx::Model) -> Result<ModelConfig, Error> {
    let metadata = model.metadata.iter();
    let metadata = metadata.map(|(k, v)| (k.clone(), v.clone()));
    let mut config = from_metadata(&metadata.collect())?;
    // The file itself says of what shape its input is.
    config.size = None;
    config.class_names = model.class_names.clone();
    config.multi_label = model.multi_label.then_some(true);
    if model.input_is_bytes {
        config.normalization = Some(Normalization::bytes());
    }
    Ok(config)
}

/// What is so for the network in a compiled detector, whose preprocessing may be in the file, too.
fn of_detector(card: &DetectorCard) -> ModelConfig {
    let (normalization, layout) = match card.input {
        DetectorInput::Normalized => (card.normalization.clone(), card.layout),
        DetectorInput::PixelsU8 | DetectorInput::PhotoU8 => (Normalization::bytes(), Layout::Nhwc),
        DetectorInput::PixelsF32 => (Normalization::identity(), Layout::Nchw),
    };
    ModelConfig {
        scale: Some(normalization.scale()),
        channels: Some(normalization.channels()),
        normalization: Some(normalization),
        layout: Some(layout),
        transform: card.transform.clone(),
        class_names: card.class_names.clone(),
        multi_label: Some(card.multi_label),
        ..ModelConfig::default()
    }
}
