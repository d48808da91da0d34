//! Activations.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::import::Importer;
use crate::onnx::read::node::{Node, axis};
use odin_graph::op::{Axis, Binary, Compare, Unary};
use odin_graph::{Dim, Op, Shape, ValueId};

type Built = Result<ValueId, Error>;

fn mul(im: &mut Importer<'_>, a: ValueId, b: ValueId) -> Built {
    im.op(Op::Binary(Binary::Mul), &[a, b])
}

fn scale(im: &mut Importer<'_>, x: ValueId, by: f32) -> Built {
    let by = im.scalar(by)?;
    mul(im, x, by)
}

fn shift(im: &mut Importer<'_>, x: ValueId, by: f32) -> Built {
    let by = im.scalar(by)?;
    im.op(Op::Binary(Binary::Add), &[x, by])
}

fn above(im: &mut Importer<'_>, x: ValueId, bound: f32) -> Built {
    let bound = im.scalar(bound)?;
    im.op(Op::Compare(Compare::Greater), &[x, bound])
}

fn clamp(im: &mut Importer<'_>, x: ValueId, min: f32, max: f32) -> Built {
    im.op(Op::Unary(Unary::Clip { min, max }), &[x])
}

pub(super) fn relu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    one(im.op(Op::Relu, &[x])?)
}

/// Functions that are operators of the graph.
pub(super) fn unary(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let function = match node.op() {
        "Cos" => Unary::Cos,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Sigmoid" => Unary::Sigmoid,
        "Sin" => Unary::Sin,
        "Softplus" => Unary::Softplus,
        "Sqrt" => Unary::Sqrt,
        _ => Unary::Tanh,
    };
    one(im.op(Op::Unary(function), &[x])?)
}

/// Bounds are attributes up to version 10, operands from 11.
pub(super) fn clip(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let bound = |i: usize, name: &str, none: f32| -> Result<f32, Error> {
        match node.known(im, i)? {
            Some(known) if known.data.len() == 1 => Ok(known.data[0].value as f32),
            Some(known) => Err(Error::corrupt(format!(
                "{name} must be one number, it has shape {:?}",
                known.shape
            ))),
            None => node.float(name, none),
        }
    };
    let min = bound(1, "min", f32::NEG_INFINITY)?;
    let max = bound(2, "max", f32::INFINITY)?;
    // Older exporters write "no bound" as the largest finite number.
    let min = if min == f32::MIN {
        f32::NEG_INFINITY
    } else {
        min
    };
    let max = if max == f32::MAX { f32::INFINITY } else { max };
    match min == 0.0 && max == f32::INFINITY {
        true => one(im.op(Op::Relu, &[x])?),
        false => one(clamp(im, x, min.min(max), max)?),
    }
}

/// `x` where it is positive, `slope · x` elsewhere: a factor that is piecewise constant.
fn sloped(im: &mut Importer<'_>, x: ValueId, slope: ValueId) -> Built {
    let (positive, unit) = (above(im, x, 0.0)?, im.scalar(1.0)?);
    let factor = im.op(Op::Where, &[positive, unit, slope])?;
    mul(im, x, factor)
}

pub(super) fn leaky_relu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let slope = im.scalar(node.float("alpha", 0.01)?)?;
    one(sloped(im, x, slope)?)
}

pub(super) fn p_relu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (x, slope) = (node.value(im, 0)?, node.value(im, 1)?);
    one(sloped(im, x, slope)?)
}

pub(super) fn thresholded_relu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let (passes, zero) = (above(im, x, node.float("alpha", 1.0)?)?, im.scalar(0.0)?);
    one(im.op(Op::Where, &[passes, x, zero])?)
}

/// `x` where it is positive, `alpha · (exp(x / width) - 1)` elsewhere.
fn exponential(im: &mut Importer<'_>, x: ValueId, alpha: f32, width: f32) -> Built {
    let negative = clamp(im, x, f32::NEG_INFINITY, 0.0)?;
    let narrowed = match width == 1.0 {
        true => negative,
        false => scale(im, negative, 1.0 / width)?,
    };
    let exponential = im.op(Op::Unary(Unary::Exp), &[narrowed])?;
    let from_zero = shift(im, exponential, -1.0)?;
    let tail = scale(im, from_zero, alpha)?;
    let positive = above(im, x, 0.0)?;
    im.op(Op::Where, &[positive, x, tail])
}

pub(super) fn elu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    one(exponential(im, x, node.float("alpha", 1.0)?, 1.0)?)
}

pub(super) fn celu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (x, alpha) = (node.value(im, 0)?, node.float("alpha", 1.0)?);
    one(exponential(im, x, alpha, alpha)?)
}

pub(super) fn selu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let alpha = node.float("alpha", 1.673_263_2)?;
    let elu = exponential(im, x, alpha, 1.0)?;
    one(scale(im, elu, node.float("gamma", 1.050_701)?)?)
}

pub(super) fn hard_sigmoid(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
    one(hard_gate(im, x, alpha, beta)?)
}

fn hard_gate(im: &mut Importer<'_>, x: ValueId, alpha: f32, beta: f32) -> Built {
    let scaled = scale(im, x, alpha)?;
    let line = shift(im, scaled, beta)?;
    clamp(im, line, 0.0, 1.0)
}

pub(super) fn hard_swish(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let gate = hard_gate(im, x, 1.0 / 6.0, 0.5)?;
    one(mul(im, x, gate)?)
}

/// `x · sigmoid(alpha · x)`.
pub(super) fn swish(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (x, alpha) = (node.value(im, 0)?, node.float("alpha", 1.0)?);
    let scaled = match alpha == 1.0 {
        true => x,
        false => scale(im, x, alpha)?,
    };
    let gate = im.op(Op::Unary(Unary::Sigmoid), &[scaled])?;
    one(mul(im, x, gate)?)
}

/// `x · Φ(x)`, Φ being the normal distribution function, or its usual approximation by tanh.
pub(super) fn gelu(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let gate = match node.text("approximate", "none")?.as_str() {
        "tanh" => {
            let square = mul(im, x, x)?;
            let cube = mul(im, square, x)?;
            let small = scale(im, cube, 0.044_715)?;
            let sum = im.op(Op::Binary(Binary::Add), &[x, small])?;
            let inner = scale(im, sum, (2.0 / std::f32::consts::PI).sqrt())?;
            im.op(Op::Unary(Unary::Tanh), &[inner])?
        }
        _ => {
            let inner = scale(im, x, std::f32::consts::FRAC_1_SQRT_2)?;
            im.op(Op::Unary(Unary::Erf), &[inner])?
        }
    };
    let (from_zero, half) = (shift(im, gate, 1.0)?, scale(im, x, 0.5)?);
    one(mul(im, half, from_zero)?)
}

pub(super) fn mish(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let soft = im.op(Op::Unary(Unary::Softplus), &[x])?;
    let gate = im.op(Op::Unary(Unary::Tanh), &[soft])?;
    one(mul(im, x, gate)?)
}

pub(super) fn softsign(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let magnitude = super::arithmetic::magnitude(im, x)?;
    let divisor = shift(im, magnitude, 1.0)?;
    one(im.op(Op::Binary(Binary::Div), &[x, divisor])?)
}

/// Up to version 12 all axes from the one named on are taken together.
pub(super) fn softmax(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let rank = im.rank(x);
    let at = |along: usize| match node.op() {
        "LogSoftmax" => Op::LogSoftmax(Axis(along)),
        _ => Op::Softmax(Axis(along)),
    };
    if node.opset >= 13 {
        let along = axis(node.int("axis", -1)?, rank)?;
        return one(im.op(at(along), &[x])?);
    }
    let along = axis(node.int("axis", 1)?, rank)?;
    if along + 1 == rank {
        return one(im.op(at(along), &[x])?);
    }
    let shape = im.graph.shape(x).clone();
    let together: usize = shape.dims()[along..].iter().map(|d| d.at(1)).product();
    let mut flat = shape.dims()[..along].to_vec();
    flat.push(Dim::Fixed(together));
    let flat = im.reshape(x, Shape::new(flat))?;
    let result = im.op(at(along), &[flat])?;
    one(im.reshape(result, shape)?)
}
