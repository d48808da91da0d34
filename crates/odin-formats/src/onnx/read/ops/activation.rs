//! Activation functions.

use super::elementwise::map;
use crate::Error;
use crate::onnx::read::builder::{Builder, Built};
use crate::onnx::read::node::{Node, axis};
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::op::{Axis, Binary, Compare, Unary};
use odin_graph::{Dim, Op, Shape, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Celu", celu),
    operator("Clip", clip),
    operator("Cos", |g, n| unary(g, n, Unary::Cos)),
    operator("Elu", elu),
    operator("Erf", |g, n| unary(g, n, Unary::Erf)),
    operator("Exp", |g, n| unary(g, n, Unary::Exp)).of_all(|_, _, x| map(x, f64::exp)),
    operator("Gelu", gelu),
    operator("HardSigmoid", hard_sigmoid),
    operator("HardSwish", hard_swish),
    operator("LeakyRelu", leaky_relu),
    operator("Log", |g, n| unary(g, n, Unary::Log)).of_all(|_, _, x| map(x, f64::ln)),
    operator("LogSoftmax", |g, n| softmax(g, n, Op::LogSoftmax)),
    operator("Mish", mish),
    operator("PRelu", p_relu),
    operator("Relu", relu),
    operator("Selu", selu),
    operator("Sigmoid", |g, n| unary(g, n, Unary::Sigmoid)),
    operator("Sin", |g, n| unary(g, n, Unary::Sin)),
    operator("Softmax", |g, n| softmax(g, n, Op::Softmax)),
    operator("Softplus", |g, n| unary(g, n, Unary::Softplus)),
    operator("Softsign", softsign),
    operator("Sqrt", |g, n| unary(g, n, Unary::Sqrt)).of_all(|_, _, x| map(x, f64::sqrt)),
    operator("Swish", swish),
    operator("Tanh", |g, n| unary(g, n, Unary::Tanh)),
    operator("ThresholdedRelu", thresholded_relu),
];

fn mul(g: &mut Builder<'_>, a: ValueId, b: ValueId) -> Built {
    g.op(Op::Binary(Binary::Mul), &[a, b])
}

fn scale(g: &mut Builder<'_>, x: ValueId, by: f32) -> Built {
    let by = g.scalar(by)?;
    mul(g, x, by)
}

fn shift(g: &mut Builder<'_>, x: ValueId, by: f32) -> Built {
    let by = g.scalar(by)?;
    g.op(Op::Binary(Binary::Add), &[x, by])
}

fn above(g: &mut Builder<'_>, x: ValueId, bound: f32) -> Built {
    let bound = g.scalar(bound)?;
    g.op(Op::Compare(Compare::Greater), &[x, bound])
}

fn clamp(g: &mut Builder<'_>, x: ValueId, min: f32, max: f32) -> Built {
    g.op(Op::Unary(Unary::Clip { min, max }), &[x])
}

fn relu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    one(g.op(Op::Relu, &[x])?)
}

/// A function that is an operator of the graph.
fn unary(g: &mut Builder<'_>, node: &Node<'_>, function: Unary) -> Read {
    let x = node.value(g, 0)?;
    one(g.op(Op::Unary(function), &[x])?)
}

/// Bounds are attributes up to version 10, operands from 11.
fn clip(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let bound = |i: usize, name: &str, none: f32| -> Result<f32, Error> {
        match node.constant(g, i)? {
            Some(bound) if bound.data.len() == 1 => Ok(bound.data[0].value as f32),
            Some(bound) => Err(Error::corrupt(format!(
                "{name} must be one number, it has shape {:?}",
                bound.shape
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
        true => one(g.op(Op::Relu, &[x])?),
        false => one(clamp(g, x, min.min(max), max)?),
    }
}

/// `x` where it is positive, `slope · x` elsewhere: a factor that is piecewise constant.
fn sloped(g: &mut Builder<'_>, x: ValueId, slope: ValueId) -> Built {
    let (positive, unit) = (above(g, x, 0.0)?, g.scalar(1.0)?);
    let factor = g.op(Op::Where, &[positive, unit, slope])?;
    mul(g, x, factor)
}

fn leaky_relu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let slope = g.scalar(node.float("alpha", 0.01)?)?;
    one(sloped(g, x, slope)?)
}

fn p_relu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (x, slope) = (node.value(g, 0)?, node.value(g, 1)?);
    one(sloped(g, x, slope)?)
}

fn thresholded_relu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let (passes, zero) = (above(g, x, node.float("alpha", 1.0)?)?, g.scalar(0.0)?);
    one(g.op(Op::Where, &[passes, x, zero])?)
}

/// `x` where it is positive, `alpha · (exp(x / width) - 1)` elsewhere.
fn exponential(g: &mut Builder<'_>, x: ValueId, alpha: f32, width: f32) -> Built {
    let negative = clamp(g, x, f32::NEG_INFINITY, 0.0)?;
    let narrowed = match width == 1.0 {
        true => negative,
        false => scale(g, negative, 1.0 / width)?,
    };
    let exponential = g.op(Op::Unary(Unary::Exp), &[narrowed])?;
    let from_zero = shift(g, exponential, -1.0)?;
    let tail = scale(g, from_zero, alpha)?;
    let positive = above(g, x, 0.0)?;
    g.op(Op::Where, &[positive, x, tail])
}

fn elu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    one(exponential(g, x, node.float("alpha", 1.0)?, 1.0)?)
}

fn celu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (x, alpha) = (node.value(g, 0)?, node.float("alpha", 1.0)?);
    one(exponential(g, x, alpha, alpha)?)
}

fn selu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let alpha = node.float("alpha", 1.673_263_2)?;
    let elu = exponential(g, x, alpha, 1.0)?;
    one(scale(g, elu, node.float("gamma", 1.050_701)?)?)
}

fn hard_sigmoid(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
    one(hard_gate(g, x, alpha, beta)?)
}

fn hard_gate(g: &mut Builder<'_>, x: ValueId, alpha: f32, beta: f32) -> Built {
    let scaled = scale(g, x, alpha)?;
    let line = shift(g, scaled, beta)?;
    clamp(g, line, 0.0, 1.0)
}

fn hard_swish(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let gate = hard_gate(g, x, 1.0 / 6.0, 0.5)?;
    one(mul(g, x, gate)?)
}

/// `x · sigmoid(alpha · x)`.
fn swish(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (x, alpha) = (node.value(g, 0)?, node.float("alpha", 1.0)?);
    let scaled = match alpha == 1.0 {
        true => x,
        false => scale(g, x, alpha)?,
    };
    let gate = g.op(Op::Unary(Unary::Sigmoid), &[scaled])?;
    one(mul(g, x, gate)?)
}

/// `x · Φ(x)`, Φ being the normal distribution function, or its usual approximation by tanh.
fn gelu(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let gate = match node.text("approximate", "none")?.as_str() {
        "tanh" => {
            let square = mul(g, x, x)?;
            let cube = mul(g, square, x)?;
            let small = scale(g, cube, 0.044_715)?;
            let sum = g.op(Op::Binary(Binary::Add), &[x, small])?;
            let inner = scale(g, sum, (2.0 / std::f32::consts::PI).sqrt())?;
            g.op(Op::Unary(Unary::Tanh), &[inner])?
        }
        _ => {
            let inner = scale(g, x, std::f32::consts::FRAC_1_SQRT_2)?;
            g.op(Op::Unary(Unary::Erf), &[inner])?
        }
    };
    let (from_zero, half) = (shift(g, gate, 1.0)?, scale(g, x, 0.5)?);
    one(mul(g, half, from_zero)?)
}

fn mish(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let soft = g.op(Op::Unary(Unary::Softplus), &[x])?;
    let gate = g.op(Op::Unary(Unary::Tanh), &[soft])?;
    one(mul(g, x, gate)?)
}

fn softsign(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let magnitude = super::arithmetic::magnitude(g, x)?;
    let divisor = shift(g, magnitude, 1.0)?;
    one(g.op(Op::Binary(Binary::Div), &[x, divisor])?)
}

/// Up to version 12 all axes from the one named on are taken together.
fn softmax(g: &mut Builder<'_>, node: &Node<'_>, op: fn(Axis) -> Op) -> Read {
    let x = node.value(g, 0)?;
    let rank = g.rank(x);
    if node.opset >= 13 {
        let along = axis(node.int("axis", -1)?, rank)?;
        return one(g.op(op(Axis(along)), &[x])?);
    }
    let along = axis(node.int("axis", 1)?, rank)?;
    if along + 1 == rank {
        return one(g.op(op(Axis(along)), &[x])?);
    }
    let shape = g.graph.shape(x).clone();
    let together: usize = shape.dims()[along..].iter().map(|d| d.at(1)).product();
    let mut flat = shape.dims()[..along].to_vec();
    flat.push(Dim::Fixed(together));
    let flat = g.reshape(x, Shape::new(flat))?;
    let result = g.op(op(Axis(along)), &[flat])?;
    one(g.reshape(result, shape)?)
}
