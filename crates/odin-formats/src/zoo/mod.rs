//! The zoo: architectures that are recognised from the names and shapes of their weights.
//!
//! A checkpoint holds numbers and names, no program. [`build`] tells from the names which
//! family of networks it belongs to and how they are laid out, from the shapes how deep and
//! wide it is, and writes the network as a graph. What neither names nor shapes say follows the
//! conventions of the families:
//!
//! - A convolution of size k is padded by k / 2. The first one has stride 1 when it is small,
//!   and stride 2 followed by a 3x3 maximum pool of stride 2 when it is 7x7.
//! - The first block of every stage but the first halves the resolution; in a bottleneck its 3x3
//!   convolution does. A DenseNet's transitions end in 2x2 average pooling.
//! - Before the classifier there is global average pooling, which at the size that a network was
//!   trained for equals the fixed window some programs use.
//! - Batch normalisation adds 1e-5 to the variance. Dropout is off.
//!
//! Nothing is guessed beyond that: every tensor must be used, and have the shape it must have.

mod densenet;
mod net;
mod part;
mod resnet;
mod wide_resnet;

use odin_graph::{Graph, Tensor};

use crate::single_logit::{NO_SIGMOID, SINGLE_LOGIT, two_classes};
use crate::{Checkpoint, Error, ErrorKind};
use net::{Net, Params};
use odin_error::first_shown;

/// The name of a model's input, images `[N, C, H, W]`.
pub const INPUT: &str = "x";
/// The name of its output, logits `[N, classes]`.
pub const LOGITS: &str = "logits";

/// A classifier read from a checkpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Model {
    /// Input [`INPUT`] `[N, C, H, W]`, output [`LOGITS`] `[N, classes]`.
    pub graph: Graph,
    /// Family, depth and width in the usual notation, such as `DenseNet-BC-100-12` (depth,
    /// growth), `WRN-28-10` (depth, widening), `ResNet-20`.
    pub architecture: String,
    /// The number of classes.
    pub classes: usize,
    /// `[C, H, W]` of an image.
    pub image_shape: [usize; 3],
    /// What the user should know of which weights were taken, a sentence each.
    pub notices: Vec<String>,
}

/// A family of architectures: how to tell that weights belong to it, and how to build it.
struct Family {
    name: &'static str,
    recognises: fn(&Params<'_>) -> bool,
    build: fn(&mut Net<'_>) -> Result<Built, Error>,
}

/// What a family's builder gives, beside the graph.
struct Built {
    architecture: String,
    logits: odin_graph::ValueId,
}

/// In the order in which they are tried.
const FAMILIES: [Family; 3] = [
    Family {
        name: "DenseNet, DenseNet-BC",
        recognises: densenet::recognises,
        build: densenet::build,
    },
    Family {
        name: "Wide ResNet",
        recognises: wide_resnet::recognises,
        build: wide_resnet::build,
    },
    Family {
        name: "ResNet (CIFAR and torchvision), ResNeXt",
        recognises: resnet::recognises,
        build: resnet::build,
    },
];

/// Recognises the architecture of a checkpoint and builds its graph for images of this shape,
/// `[C, H, W]`. `None` stands for what the architecture was made for: 32x32 pixels, or 224x224
/// when it begins with a 7x7 convolution.
///
/// # Errors
/// When the names are those of no family, when a tensor is missing, left over or of the wrong
/// shape, or when the image is too small or has another number of channels. The message names
/// the tensor as the file does.
pub fn build(checkpoint: &Checkpoint, image_shape: Option<[usize; 3]>) -> Result<Model, Error> {
    build_any(checkpoint, image_shape).map_err(|e| e.about(checkpoint.name()))
}

fn build_any(checkpoint: &Checkpoint, image_shape: Option<[usize; 3]>) -> Result<Model, Error> {
    let part::Part {
        params,
        family,
        mut notices,
    } = part::choose(checkpoint)?;
    let image_shape = image_shape_for(&params, image_shape)?;
    let mut net = Net::new(params, image_shape)?;
    let built = (family.build)(&mut net);
    let built = built.and_then(|built| net.check_all_used().map(|()| built));
    let Built {
        architecture,
        mut logits,
    } = built.map_err(|e| e.about(format_args!("read as {}", family.name)))?;

    let mut classes = net.channels(logits);
    let mut graph = net.into_graph();
    if classes == 1 {
        let both = two_classes(&mut graph, logits);
        logits = both.map_err(|e| net::mismatch(e.to_string()))?;
        classes = 2;
        notices.push(format!("the last layer gives {SINGLE_LOGIT}{NO_SIGMOID}"));
    }
    graph.output(LOGITS, logits);
    Ok(Model {
        graph,
        architecture,
        classes,
        image_shape,
        notices,
    })
}

/// The family that weights belong to.
fn recognise(params: &Params<'_>) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| (family.recognises)(params))
}

fn unknown(checkpoint: &Checkpoint) -> Error {
    let families = FAMILIES.map(|f| f.name).join("; ");
    let names = first_shown(checkpoint.tensors().map(|(name, _)| name));
    Error::new(
        ErrorKind::UnknownArchitecture,
        format!(
            "the names of the tensors are those of no known architecture. Known: {families}. \
             The file has {} tensors, the first are {names:?}. Weights alone do not say what is \
             computed with them; export the network where it is defined, with the size of its \
             images, and give that file:\n    {}",
            checkpoint.tensors().len(),
            export_command(checkpoint)
        ),
    )
}

/// What writes a network of PyTorch as ONNX, for images of as many channels as the first
/// convolution takes.
fn export_command(checkpoint: &Checkpoint) -> String {
    let kernels = checkpoint.tensors().filter_map(|(_, tensor)| four(tensor));
    let [_, channels, ..] = kernels.into_iter().next().unwrap_or([0, 3, 0, 0]);
    format!(
        "torch.onnx.export(model.eval(), torch.zeros(1, {channels}, 224, 224), \"model.onnx\", \
         output_names=[\"logits\"])"
    )
}

/// The names that the first convolution goes by.
const STEMS: [&str; 2] = ["conv1.weight", "features.conv0.weight"];

/// The image shape asked for, checked against the first convolution, or its usual one.
fn image_shape_for(params: &Params<'_>, asked: Option<[usize; 3]>) -> Result<[usize; 3], Error> {
    let stem = STEMS.iter().find_map(|name| params.peek(name));
    let [_, channels, kernel, _] = stem
        .and_then(four)
        .ok_or_else(|| params.missing(STEMS[0]))?;
    let side = if kernel == 7 { 224 } else { 32 };
    match asked {
        None => Ok([channels, side, side]),
        Some(shape) if shape[0] == channels => Ok(shape),
        Some([found, ..]) => Err(Error::new(
            ErrorKind::Mismatch,
            format!("the network takes images of {channels} channels, these have {found}"),
        )),
    }
}

fn four(tensor: &Tensor) -> Option<[usize; 4]> {
    tensor.shape().try_into().ok()
}
