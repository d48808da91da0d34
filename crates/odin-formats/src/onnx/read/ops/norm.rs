//! Normalisations.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::import::Importer;
use crate::onnx::read::node::{Node, axis, sizes};
use odin_graph::op::{AvgPool, BatchNorm, Binary, ReduceKind, Unary, Window};
use odin_graph::{Dim, Op, Shape, ValueId};

type Built = Result<ValueId, Error>;

fn binary(im: &mut Importer<'_>, op: Binary, a: ValueId, b: ValueId) -> Built {
    im.op(Op::Binary(op), &[a, b])
}

fn mean(im: &mut Importer<'_>, x: ValueId, axes: &[usize]) -> Built {
    im.reduce(x, ReduceKind::Mean, axes.to_vec(), true)
}

fn reshape(im: &mut Importer<'_>, x: ValueId, shape: Shape) -> Built {
    im.reshape(x, shape)
}

/// `x / sqrt(mean(x²) + epsilon)`, the mean taken over these axes.
fn unit_power(im: &mut Importer<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Built {
    let square = binary(im, Binary::Mul, x, x)?;
    let power = mean(im, square, axes)?;
    let epsilon = im.scalar(epsilon)?;
    let power = binary(im, Binary::Add, power, epsilon)?;
    let deviation = im.op(Op::Unary(Unary::Sqrt), &[power])?;
    binary(im, Binary::Div, x, deviation)
}

/// `(x - mean) / sqrt(variance + epsilon)`, both taken over these axes.
fn standardise(im: &mut Importer<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Built {
    let mean = mean(im, x, axes)?;
    let centred = binary(im, Binary::Sub, x, mean)?;
    unit_power(im, centred, axes, epsilon)
}

/// `x · scale + shift`, both optional.
fn affine(
    im: &mut Importer<'_>,
    x: ValueId,
    scale: Option<ValueId>,
    shift: Option<ValueId>,
) -> Built {
    let scaled = match scale {
        Some(scale) => binary(im, Binary::Mul, x, scale)?,
        None => x,
    };
    match shift {
        Some(shift) => binary(im, Binary::Add, scaled, shift),
        None => Ok(scaled),
    }
}

pub(super) fn batch(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    if node.int("training_mode", 0)? != 0 {
        return Err(Error::unsupported(
            "it is in training mode; export the network for inference (model.eval())",
        ));
    }
    let x = node.value(im, 0)?;
    let mut parameters = [x; 4];
    for (i, parameter) in parameters.iter_mut().enumerate() {
        *parameter = node.value(im, i + 1)?;
    }
    let [scale, shift, mean, variance] = parameters;
    let epsilon = node.float("epsilon", 1e-5)?;
    let operands = [x, scale, shift, mean, variance];
    one(im.op(Op::BatchNorm(BatchNorm { epsilon }), &operands)?)
}

/// The axes from `axis` on.
fn trailing(im: &Importer<'_>, node: &Node<'_>, x: ValueId) -> Result<Vec<usize>, Error> {
    let rank = im.rank(x);
    Ok((axis(node.int("axis", -1)?, rank)?..rank).collect())
}

pub(super) fn layer(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let axes = trailing(im, node, x)?;
    let normal = standardise(im, x, &axes, node.float("epsilon", 1e-5)?)?;
    let (scale, shift) = (node.optional_value(im, 1)?, node.optional_value(im, 2)?);
    one(affine(im, normal, scale, shift)?)
}

pub(super) fn root_mean_square(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let axes = trailing(im, node, x)?;
    let normal = unit_power(im, x, &axes, node.float("epsilon", 1e-5)?)?;
    let scale = node.optional_value(im, 1)?;
    one(affine(im, normal, scale, None)?)
}

/// A vector of one entry per channel, to be broadcast with `[N, C, spatial...]`.
fn per_channel(im: &mut Importer<'_>, v: ValueId, channels: usize, rank: usize) -> Built {
    let mut shape = vec![1; rank - 1];
    shape[0] = channels;
    reshape(im, v, Shape::fixed(&shape))
}

/// The channels of `x` and its shape with the channels in `groups`: `[N, groups, rest]`.
fn grouped(im: &Importer<'_>, x: ValueId, groups: usize) -> Result<(usize, Shape), Error> {
    let shape = im.graph.shape(x);
    let dims = shape.dims();
    let rest: usize = dims.iter().skip(1).map(|d| d.at(1)).product();
    match dims {
        [batch, Dim::Fixed(channels), _, ..] if groups > 0 && channels % groups == 0 => {
            let dims = [*batch, Dim::Fixed(groups), Dim::Fixed(rest / groups)];
            Ok((*channels, Shape::new(dims)))
        }
        _ => Err(Error::unsupported(format!(
            "{shape} does not have channels in {groups} groups along axis 1"
        ))),
    }
}

pub(super) fn instance(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let axes: Vec<usize> = (2..im.rank(x)).collect();
    let normal = standardise(im, x, &axes, node.float("epsilon", 1e-5)?)?;
    let channels = im.graph.shape(x).dims()[1].at(1);
    let mut parameter = |i: usize| -> Built {
        let v = node.value(im, i)?;
        let rank = im.rank(x);
        per_channel(im, v, channels, rank)
    };
    let (scale, shift) = (parameter(1)?, parameter(2)?);
    one(affine(im, normal, Some(scale), Some(shift))?)
}

/// Scale and shift are one number per group up to version 20, per channel from 21.
pub(super) fn group(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let groups = sizes(&[node.int("num_groups", 0)?], "num_groups")?[0];
    let (channels, apart) = grouped(im, x, groups)?;
    let shape = im.graph.shape(x).clone();
    let in_groups = reshape(im, x, apart)?;
    let normal = standardise(im, in_groups, &[2], node.float("epsilon", 1e-5)?)?;
    let (scale, shift) = (node.value(im, 1)?, node.value(im, 2)?);
    if node.opset < 21 {
        let scale = per_channel(im, scale, groups, 3)?;
        let shift = per_channel(im, shift, groups, 3)?;
        let result = affine(im, normal, Some(scale), Some(shift))?;
        return one(reshape(im, result, shape)?);
    }
    let normal = reshape(im, normal, shape.clone())?;
    let scale = per_channel(im, scale, channels, shape.rank())?;
    let shift = per_channel(im, shift, channels, shape.rank())?;
    one(affine(im, normal, Some(scale), Some(shift))?)
}

/// `x / (bias + alpha · mean(x²))^beta`, the mean taken over neighbouring channels, those past
/// the ends counting as 0.
pub(super) fn local_response(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let size = sizes(&[node.int("size", 0)?], "size")?[0];
    let (alpha, beta) = (node.float("alpha", 1e-4)?, node.float("beta", 0.75)?);
    let shape = im.graph.shape(x).clone();
    let [batch, Dim::Fixed(channels), ..] = *shape.dims() else {
        return Err(Error::corrupt(format!(
            "{shape} has no channels along axis 1"
        )));
    };
    let inner: usize = shape.dims()[2..].iter().map(|d| d.at(1)).product();
    let square = binary(im, Binary::Mul, x, x)?;
    let planes = Shape::new([
        batch,
        Dim::Fixed(1),
        Dim::Fixed(channels),
        Dim::Fixed(inner),
    ]);
    let planes = reshape(im, square, planes)?;
    let before = size.saturating_sub(1) / 2;
    let mut window = Window::new(&[size, 1]);
    window.pads_begin[0] = before;
    window.pads_end[0] = size.saturating_sub(1) - before;
    let count_padding = true;
    let pool = AvgPool {
        window,
        count_padding,
    };
    let mean = im.op(Op::AvgPool(pool), &[planes])?;
    let mean = reshape(im, mean, shape)?;
    let (alpha, bias) = (im.scalar(alpha)?, im.scalar(node.float("bias", 1.0)?)?);
    let scaled = binary(im, Binary::Mul, mean, alpha)?;
    let sum = binary(im, Binary::Add, scaled, bias)?;
    let beta = im.scalar(beta)?;
    let divisor = binary(im, Binary::Pow, sum, beta)?;
    one(binary(im, Binary::Div, x, divisor)?)
}

/// `x` divided by its norm along an axis.
pub(super) fn lp(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let along = axis(node.int("axis", -1)?, im.rank(x))?;
    let norm = match node.int("p", 2)? {
        1 => {
            let magnitude = super::arithmetic::magnitude(im, x)?;
            sum(im, magnitude, along)?
        }
        2 => {
            let square = binary(im, Binary::Mul, x, x)?;
            let sum = sum(im, square, along)?;
            im.op(Op::Unary(Unary::Sqrt), &[sum])?
        }
        p => return Err(Error::unsupported(format!("a norm of order {p}"))),
    };
    one(binary(im, Binary::Div, x, norm)?)
}

fn sum(im: &mut Importer<'_>, x: ValueId, along: usize) -> Built {
    im.reduce(x, ReduceKind::Sum, vec![along], true)
}
