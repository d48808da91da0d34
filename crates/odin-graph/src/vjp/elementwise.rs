//! Rules of elementwise operators and of normalisations.

use super::Rule;
use super::layout::sum_to_shape;
use crate::op::*;
use crate::{Graph, Op, Tensor, ValueId};

/// `dy · scale / sqrt(var + ε)`: the same operator without mean and shift.
pub(super) fn batch_norm_rule(g: &mut Graph, norm: &BatchNorm, x: &[ValueId], dy: ValueId) -> Rule {
    let zeros = g.shape(x[1]).at(1);
    let count = zeros.iter().product();
    let zero = g.constant(Tensor::new(zeros, vec![0.0; count])?)?;
    g.batch_norm(dy, [x[1], zero, zero, x[4]], norm.epsilon)
}

/// The mask is computed from the output, which is positive where the input is, so that the input
/// need not be kept.
pub(super) fn relu_rule(g: &mut Graph, y: ValueId, dy: ValueId) -> Rule {
    let zero = g.scalar(0.0)?;
    let positive = g.compare(Compare::Greater, y, zero)?;
    g.select(positive, dy, zero)
}

/// Expressed by the output where that saves keeping the operand.
pub(super) fn unary_rule(g: &mut Graph, unary: Unary, x: ValueId, y: ValueId, dy: ValueId) -> Rule {
    match unary {
        Unary::Clip { min, max } => clip_rule(g, [min, max], y, dy),
        Unary::Cos => {
            let sine = g.unary(Unary::Sin, x)?;
            let product = g.mul(dy, sine)?;
            negate(g, product)
        }
        Unary::Erf => {
            let square = g.mul(x, x)?;
            let exponent = negate(g, square)?;
            let bell = g.unary(Unary::Exp, exponent)?;
            let factor = g.scalar(std::f32::consts::FRAC_2_SQRT_PI)?;
            let slope = g.mul(bell, factor)?;
            g.mul(dy, slope)
        }
        Unary::Exp => g.mul(dy, y),
        Unary::Log => g.div(dy, x),
        Unary::Sigmoid => {
            let square = g.mul(y, y)?;
            let slope = g.sub(y, square)?;
            g.mul(dy, slope)
        }
        Unary::Sin => {
            let cosine = g.unary(Unary::Cos, x)?;
            g.mul(dy, cosine)
        }
        Unary::Softplus => {
            let slope = g.unary(Unary::Sigmoid, x)?;
            g.mul(dy, slope)
        }
        Unary::Sqrt => {
            let half = g.scalar(0.5)?;
            let halved = g.mul(dy, half)?;
            g.div(halved, y)
        }
        Unary::Tanh => {
            let (one, square) = (g.scalar(1.0)?, g.mul(y, y)?);
            let slope = g.sub(one, square)?;
            g.mul(dy, slope)
        }
    }
}

/// The gradient is 0 at the bounds themselves, as in PyTorch's `hardtanh` and `relu6`.
fn clip_rule(g: &mut Graph, [min, max]: [f32; 2], y: ValueId, dy: ValueId) -> Rule {
    let zero = g.scalar(0.0)?;
    let mut dx = dy;
    if min > f32::NEG_INFINITY {
        let bound = g.scalar(min)?;
        let above = g.compare(Compare::Greater, y, bound)?;
        dx = g.select(above, dx, zero)?;
    }
    if max < f32::INFINITY {
        let bound = g.scalar(max)?;
        let below = g.compare(Compare::Greater, bound, y)?;
        dx = g.select(below, dx, zero)?;
    }
    Ok(dx)
}

pub(super) fn binary_rule(
    g: &mut Graph,
    binary: Binary,
    x: &[ValueId],
    y: ValueId,
    first: bool,
    dy: ValueId,
) -> Rule {
    let operand = if first { x[0] } else { x[1] };
    let full = match (binary, first) {
        (Binary::Add, _) | (Binary::Sub, true) => dy,
        (Binary::Sub, false) => negate(g, dy)?,
        (Binary::Mul, true) => g.mul(dy, x[1])?,
        (Binary::Mul, false) => g.mul(dy, x[0])?,
        (Binary::Div, true) => g.div(dy, x[1])?,
        (Binary::Div, false) => {
            let slope = g.div(y, x[1])?;
            let product = g.mul(dy, slope)?;
            negate(g, product)?
        }
        (Binary::Pow, true) => {
            let one = g.scalar(1.0)?;
            let exponent = g.sub(x[1], one)?;
            let power = g.add(Op::Binary(Binary::Pow), &[x[0], exponent])?;
            let slope = g.mul(x[1], power)?;
            g.mul(dy, slope)?
        }
        (Binary::Pow, false) => {
            let logarithm = g.unary(Unary::Log, x[0])?;
            let slope = g.mul(y, logarithm)?;
            g.mul(dy, slope)?
        }
        (Binary::Max, _) | (Binary::Min, _) => {
            let other = if first { x[1] } else { x[0] };
            let (larger, smaller) = match binary {
                Binary::Max => (operand, other),
                _ => (other, operand),
            };
            winner_takes(g, larger, smaller, dy)?
        }
    };
    sum_to_shape(g, full, g.shape(operand).clone())
}

/// `dy` where `a > b`, half of it where they are equal.
fn winner_takes(g: &mut Graph, a: ValueId, b: ValueId, dy: ValueId) -> Rule {
    let (zero, half) = (g.scalar(0.0)?, g.scalar(0.5)?);
    let halved = g.mul(dy, half)?;
    let at_least = g.compare(Compare::GreaterOrEqual, a, b)?;
    let shared = g.select(at_least, halved, zero)?;
    let more = g.compare(Compare::Greater, a, b)?;
    g.select(more, dy, shared)
}

fn negate(g: &mut Graph, x: ValueId) -> Rule {
    let minus_one = g.scalar(-1.0)?;
    g.mul(x, minus_one)
}

pub(super) fn where_rule(g: &mut Graph, x: &[ValueId], position: usize, dy: ValueId) -> Rule {
    let zero = g.scalar(0.0)?;
    let taken = match position {
        1 => g.select(x[0], dy, zero)?,
        _ => g.select(x[0], zero, dy)?,
    };
    sum_to_shape(g, taken, g.shape(x[position]).clone())
}

/// `y · (dy - Σ dy·y)`.
pub(super) fn softmax_rule(g: &mut Graph, y: ValueId, axis: usize, dy: ValueId) -> Rule {
    let product = g.mul(dy, y)?;
    let sum = g.reduce(product, ReduceKind::Sum, vec![axis], true)?;
    let centred = g.sub(dy, sum)?;
    g.mul(y, centred)
}

/// `dy - softmax(x) · Σ dy`.
pub(super) fn log_softmax_rule(g: &mut Graph, x: ValueId, axis: usize, dy: ValueId) -> Rule {
    let softmax = g.softmax(x, axis)?;
    let sum = g.reduce(dy, ReduceKind::Sum, vec![axis], true)?;
    let product = g.mul(softmax, sum)?;
    g.sub(dy, product)
}
