use crate::{Error, ErrorKind};
use odin_formats::{Checkpoint, zoo};
use odin_graph::{Graph, passes};
use std::path::Path;

/// How pixels become the network's input: `x = (pixel - mean) / std` per channel, pixels being
/// in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalization {
    /// A mean and a standard deviation for each channel.
    ///
    /// # Errors
    /// When their numbers differ, a value is not finite, or a standard deviation is not
    /// positive.
    pub fn new(mean: &[f32], std: &[f32]) -> Result<Self, Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        if mean.len() != std.len() || mean.is_empty() {
            let (m, s) = (mean.len(), std.len());
            return invalid(format!(
                "mean and std need one value for each channel, they have {m} and {s}"
            ));
        }
        if let Some(v) = mean.iter().find(|v| !v.is_finite()) {
            return invalid(format!("mean must be finite, it contains {v}"));
        }
        if let Some(v) = std.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return invalid(format!("std must be positive, it contains {v}"));
        }
        let (mean, std) = (mean.to_vec(), std.to_vec());
        Ok(Self { mean, std })
    }

    /// What the paper's models for CIFAR-10 and CIFAR-100 were trained with: mean
    /// (125.3, 123.0, 113.9)/255, std (63.0, 62.1, 66.7)/255.
    pub fn cifar() -> Self {
        Self {
            mean: [125.3, 123.0, 113.9].map(|v: f32| v / 255.0).to_vec(),
            std: [63.0, 62.1, 66.7].map(|v: f32| v / 255.0).to_vec(),
        }
    }

    /// The mean of each channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// Appends the normalised pixels of one CHW image to `batch`.
    pub(crate) fn apply(&self, pixels: &[f32], batch: &mut Vec<f32>) {
        let channels = pixels.chunks_exact(pixels.len() / self.mean.len());
        for ((channel, mean), std) in channels.zip(&self.mean).zip(&self.std) {
            batch.extend(channel.iter().map(|pixel| (pixel - mean) / std));
        }
    }
}

/// A trained network with what it needs to be fed.
#[derive(Debug, Clone)]
pub struct Classifier {
    graph: Graph,
    architecture: String,
    classes: usize,
    image_shape: [usize; 3],
    normalization: Normalization,
}

impl Classifier {
    /// Reads a checkpoint (PyTorch or safetensors) and recognises its architecture.
    ///
    /// # Errors
    /// When the file cannot be read, or fits no known architecture; the message names the
    /// tensor that is missing, left over or of the wrong shape.
    pub fn open(path: &Path, normalization: Normalization) -> Result<Self, Error> {
        Self::from_checkpoint(&Checkpoint::open(path)?, None, normalization)
    }

    /// Builds the network that a checkpoint's weights belong to. `image_shape` is
    /// `[C, H, W]`, by default what the architecture is usually trained on.
    ///
    /// # Errors
    /// As [`Classifier::open`]; and when the normalisation has another number of channels than
    /// the network.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        image_shape: Option<[usize; 3]>,
        normalization: Normalization,
    ) -> Result<Self, Error> {
        let model = zoo::build(checkpoint, image_shape)?;
        let (expected, found) = (model.image_shape[0], normalization.mean.len());
        if expected != found {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{}: the network takes {expected} channels, mean and std have {found} values",
                    checkpoint.name()
                ),
            ));
        }
        Ok(Self {
            graph: passes::fold_batch_norm(&model.graph)?,
            architecture: model.architecture,
            classes: model.classes,
            image_shape: model.image_shape,
            normalization,
        })
    }

    /// The network: normalised images `[N, C, H, W]` to logits `[N, classes]`.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Such as `DenseNet-BC-100-12`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// `[C, H, W]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }

    /// How pixels become the network's input.
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }
}
