//! Builds the network of a checkpoint.

use super::config_stack::ConfigStack;
use super::network::{Network, unfit};
use super::source::{ModelSource, of_checkpoint};
use super::{Layout, ModelConfig, Normalization, Provenance, Sourced};
use crate::Error;
use odin_formats::{Checkpoint, zoo};
use std::collections::BTreeMap;

/// Reads the weights that the configuration asks for, and builds their network.
pub(super) fn open(
    source: &ModelSource,
    stack: ConfigStack,
) -> Result<(Network, ConfigStack), Error> {
    let weights = stack.first(|config| config.weights.as_ref());
    let weights = weights.map(|weights| weights.value);
    let checkpoint = source.checkpoint(weights.as_deref())?;
    let (mut network, stack) = read(&checkpoint, stack)?;
    network.file.weights = weights;
    Ok((network, stack))
}

/// Builds the network of a checkpoint for images of the size that the configuration says; `stack`
/// gets what the checkpoint's metadata say.
fn read(checkpoint: &Checkpoint, stack: ConfigStack) -> Result<(Network, ConfigStack), Error> {
    if let Some(output) = stack.first(|config| config.output.as_ref()) {
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
    let stack = stack.with_file(from_metadata(&metadata.collect())?);
    let mut model = zoo::build(checkpoint, None)?;
    let [c, height, width] = model.image_shape;
    let size = stack.first(|config| config.size.as_ref());
    if let Some(size) = size.as_ref().filter(|size| size.value != [height, width]) {
        let [height, width] = size.value;
        model = zoo::build(checkpoint, Some([c, height, width]))?;
    }
    let from = size.map_or(
        Provenance::Assumed("usual for the architecture".to_string()),
        |size| size.from,
    );
    Ok((of_zoo(checkpoint, model, from), stack))
}

/// `from` is where the size of the images comes from.
pub(super) fn of_zoo(checkpoint: &Checkpoint, model: zoo::Model, from: Provenance) -> Network {
    Network {
        file: of_checkpoint(checkpoint, &model),
        architecture: model.architecture,
        layout: Sourced {
            value: Layout::Nchw,
            from: Provenance::Network("as the architecture is built".to_string()),
        },
        image_shape: Sourced {
            value: model.image_shape,
            from,
        },
        graph: model.graph,
        card: None,
    }
}

/// What a file carries as text: `mean`, `std`, and `input = "1x8x8"`.
pub(super) fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<ModelConfig, Error> {
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
