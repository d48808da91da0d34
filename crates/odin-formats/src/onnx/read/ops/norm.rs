//! Normalisation operators.

use crate::Error;
use crate::onnx::read::builder::{Builder, Built};
use crate::onnx::read::node::{Node, axis, sizes};
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::op::{AvgPool, BatchNorm, Binary, ReduceKind, Unary, Window};
use odin_graph::{Dim, Op, Shape, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("BatchNormalization", batch),
    operator("GroupNormalization", group),
    operator("InstanceNormalization", instance),
    operator("LRN", local_response),
    operator("LayerNormalization", layer),
    operator("LpNormalization", lp),
    operator("RMSNormalization", root_mean_square),
];

fn binary(g: &mut Builder<'_>, op: Binary, a: ValueId, b: ValueId) -> Built {
    g.op(Op::Binary(op), &[a, b])
}

fn mean(g: &mut Builder<'_>, x: ValueId, axes: &[usize]) -> Built {
    g.reduce(x, ReduceKind::Mean, axes.to_vec(), true)
}

fn reshape(g: &mut Builder<'_>, x: ValueId, shape: Shape) -> Built {
    g.reshape(x, shape)
}

/// `x / sqrt(mean(x²) + epsilon)`, the mean taken over these axes.
fn unit_power(g: &mut Builder<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Built {
    let square = binary(g, Binary::Mul, x, x)?;
    let power = mean(g, square, axes)?;
    let epsilon = g.scalar(epsilon)?;
    let power = binary(g, Binary::Add, power, epsilon)?;
    let deviation = g.op(Op::Unary(Unary::Sqrt), &[power])?;
    binary(g, Binary::Div, x, deviation)
}

/// `(x - mean) / sqrt(variance + epsilon)`, both taken over these axes.
fn standardise(g: &mut Builder<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Built {
    let mean = mean(g, x, axes)?;
    let centred = binary(g, Binary::Sub, x, mean)?;
    unit_power(g, centred, axes, epsilon)
}

/// `x · scale + shift`, both optional.
fn affine(
    g: &mut Builder<'_>,
    x: ValueId,
    scale: Option<ValueId>,
    shift: Option<ValueId>,
) -> Built {
    let scaled = match scale {
        Some(scale) => binary(g, Binary::Mul, x, scale)?,
        None => x,
    };
    match shift {
        Some(shift) => binary(g, Binary::Add, scaled, shift),
        None => Ok(scaled),
    }
}

fn batch(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    if let Some(sign) = sign_of_training(node)? {
        return Err(Error::unsupported(format!(
            "it is in training mode ({sign}); export the network for inference (model.eval())"
        )));
    }
    let x = node.value(g, 0)?;
    let mut parameters = [x; 4];
    for (i, parameter) in parameters.iter_mut().enumerate() {
        *parameter = node.value(g, i + 1)?;
    }
    let [scale, shift, mean, variance] = parameters;
    let epsilon = node.float("epsilon", 1e-5)?;
    let operands = [x, scale, shift, mean, variance];
    one(g.op(Op::BatchNorm(BatchNorm { epsilon }), &operands)?)
}

/// What says that a normalisation is to use the statistics of the batch. Up to version 13 that is
/// the number of its outputs, and in version 6 an attribute, too.
fn sign_of_training(node: &Node<'_>) -> Result<Option<&'static str>, Error> {
    let outputs = node.proto.output.iter().filter(|name| !name.is_empty());
    let outputs = outputs.count();
    Ok(match node.opset {
        ..=6 if node.int("is_test", 0)? == 0 => Some("is_test is 0"),
        ..=13 if outputs > 1 => Some("it gives the statistics of the batch, too"),
        14.. if node.int("training_mode", 0)? != 0 => Some("training_mode is 1"),
        _ => None,
    })
}

/// The axes from `axis` on.
fn trailing(g: &Builder<'_>, node: &Node<'_>, x: ValueId) -> Result<Vec<usize>, Error> {
    let rank = g.rank(x);
    Ok((axis(node.int("axis", -1)?, rank)?..rank).collect())
}

fn layer(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let axes = trailing(g, node, x)?;
    let normal = standardise(g, x, &axes, node.float("epsilon", 1e-5)?)?;
    let (scale, shift) = (node.optional_value(g, 1)?, node.optional_value(g, 2)?);
    one(affine(g, normal, scale, shift)?)
}

fn root_mean_square(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let axes = trailing(g, node, x)?;
    let normal = unit_power(g, x, &axes, node.float("epsilon", 1e-5)?)?;
    let scale = node.optional_value(g, 1)?;
    one(affine(g, normal, scale, None)?)
}

/// A vector of one entry per channel, to be broadcast with `[N, C, spatial...]`.
fn per_channel(g: &mut Builder<'_>, v: ValueId, channels: usize, rank: usize) -> Built {
    let mut shape = vec![1; rank - 1];
    shape[0] = channels;
    reshape(g, v, Shape::fixed(&shape))
}

/// The channels of `x` and its shape with the channels in `groups`: `[N, groups, rest]`.
fn grouped(g: &Builder<'_>, x: ValueId, groups: usize) -> Result<(usize, Shape), Error> {
    let shape = g.graph.shape(x);
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

fn instance(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let axes: Vec<usize> = (2..g.rank(x)).collect();
    let normal = standardise(g, x, &axes, node.float("epsilon", 1e-5)?)?;
    let (channels, _) = grouped(g, x, 1)?;
    let mut parameter = |i: usize| -> Built {
        let v = node.value(g, i)?;
        let rank = g.rank(x);
        per_channel(g, v, channels, rank)
    };
    let (scale, shift) = (parameter(1)?, parameter(2)?);
    one(affine(g, normal, Some(scale), Some(shift))?)
}

/// Scale and shift are one number per group up to version 20, per channel from 21.
fn group(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let groups = sizes(&[node.int("num_groups", 0)?], "num_groups")?[0];
    let (channels, apart) = grouped(g, x, groups)?;
    let shape = g.graph.shape(x).clone();
    let in_groups = reshape(g, x, apart)?;
    let normal = standardise(g, in_groups, &[2], node.float("epsilon", 1e-5)?)?;
    let (scale, shift) = (node.value(g, 1)?, node.value(g, 2)?);
    if node.opset < 21 {
        let scale = per_channel(g, scale, groups, 3)?;
        let shift = per_channel(g, shift, groups, 3)?;
        let result = affine(g, normal, Some(scale), Some(shift))?;
        return one(reshape(g, result, shape)?);
    }
    let normal = reshape(g, normal, shape.clone())?;
    let scale = per_channel(g, scale, channels, shape.rank())?;
    let shift = per_channel(g, shift, channels, shape.rank())?;
    one(affine(g, normal, Some(scale), Some(shift))?)
}

/// `x / (bias + alpha · mean(x²))^beta`, the mean taken over neighbouring channels, those past
/// the ends counting as 0.
fn local_response(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let size = sizes(&[node.int("size", 0)?], "size")?[0];
    if size == 0 {
        return Err(Error::corrupt("its size must be at least 1"));
    }
    let (alpha, beta) = (node.float("alpha", 1e-4)?, node.float("beta", 0.75)?);
    let shape = g.graph.shape(x).clone();
    let [batch, Dim::Fixed(channels), ..] = *shape.dims() else {
        return Err(Error::corrupt(format!(
            "{shape} has no channels along axis 1"
        )));
    };
    let inner: usize = shape.dims()[2..].iter().map(|d| d.at(1)).product();
    let square = binary(g, Binary::Mul, x, x)?;
    let planes = Shape::new([
        batch,
        Dim::Fixed(1),
        Dim::Fixed(channels),
        Dim::Fixed(inner),
    ]);
    let planes = reshape(g, square, planes)?;
    let (before, after) = (
        size.saturating_sub(1) / 2,
        size.saturating_sub(1).div_ceil(2),
    );
    // What lies past all channels counts in the mean only, which is scaled for it.
    let (before, after) = (before.min(channels), after.min(channels));
    let seen = before.saturating_add(after).saturating_add(1);
    let alpha = match seen == size {
        true => alpha,
        false => (f64::from(alpha) * (seen as f64 / size as f64)) as f32,
    };
    let mut window = Window::new(&[seen, 1]);
    window.pads_begin[0] = before;
    window.pads_end[0] = after;
    let count_padding = true;
    let pool = AvgPool {
        window,
        count_padding,
    };
    let mean = g.op(Op::AvgPool(pool), &[planes])?;
    let mean = reshape(g, mean, shape)?;
    let (alpha, bias) = (g.scalar(alpha)?, g.scalar(node.float("bias", 1.0)?)?);
    let scaled = binary(g, Binary::Mul, mean, alpha)?;
    let sum = binary(g, Binary::Add, scaled, bias)?;
    let beta = g.scalar(beta)?;
    let divisor = binary(g, Binary::Pow, sum, beta)?;
    one(binary(g, Binary::Div, x, divisor)?)
}

/// `x` divided by its norm along an axis.
fn lp(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let along = axis(node.int("axis", -1)?, g.rank(x))?;
    let norm = match node.int("p", 2)? {
        1 => {
            let magnitude = super::arithmetic::magnitude(g, x)?;
            sum(g, magnitude, along)?
        }
        2 => {
            let square = binary(g, Binary::Mul, x, x)?;
            let sum = sum(g, square, along)?;
            g.op(Op::Unary(Unary::Sqrt), &[sum])?
        }
        p => return Err(Error::unsupported(format!("a norm of order {p}"))),
    };
    one(binary(g, Binary::Div, x, norm)?)
}

fn sum(g: &mut Builder<'_>, x: ValueId, along: usize) -> Built {
    g.reduce(x, ReduceKind::Sum, vec![along], true)
}
