//! The nodes from pixels to the network's input.

use super::compile::IMAGES;
use crate::{ChannelOrder, Classifier, DetectorInput, Error, Layout};
use odin_graph::op::SliceAxis;
use odin_graph::{Graph, Op, Shape, Tensor, Type, ValueId};

/// From pixels to the network's input, step by step as [`Classifier`] prepares them.
pub(super) fn preprocessing(
    classifier: &Classifier,
    kind: DetectorInput,
    input: &Type,
) -> Result<Graph, Error> {
    let (layout, normalization) = (classifier.layout(), classifier.normalization());
    let [c, h, w] = classifier.image_shape();
    let images = match kind {
        DetectorInput::PixelsU8 | DetectorInput::PhotoU8 => [h, w, c],
        _ => [c, h, w],
    };
    let mut g = Graph::new();
    g.at("preprocessing");
    let mut pixels = g.input(IMAGES, Type::float(Shape::batched(&images)))?;
    if takes_levels(kind) {
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

/// From 0 to 255, channels last.
fn takes_levels(kind: DetectorInput) -> bool {
    matches!(kind, DetectorInput::PixelsU8 | DetectorInput::PhotoU8)
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
    let channels_last = takes_levels(kind);
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
