//! Elementwise operators and batch normalisation.

use super::array::{Array, Real, Value};
use super::count;
use crate::op::*;

pub(super) fn map<T: Real>(x: &Array<T>, f: impl Fn(T) -> T) -> Vec<T> {
    x.floats().iter().map(|&v| f(v)).collect()
}

/// NaN stays NaN.
pub(super) fn relu<T: Real>(x: T) -> T {
    if x < T::zero() { T::zero() } else { x }
}

pub(super) fn unary<T: Real>(unary: Unary, x: T) -> T {
    let one = T::one();
    match unary {
        Unary::Clip { min, .. } if x < T::of(min) => T::of(min),
        Unary::Clip { max, .. } if x > T::of(max) => T::of(max),
        Unary::Clip { .. } => x,
        Unary::Cos => x.cos(),
        Unary::Erf => x.erf(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sigmoid => one / (one + (-x).exp()),
        Unary::Sin => x.sin(),
        Unary::Softplus => x.max(T::zero()) + (-x.abs()).exp().ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Tanh => x.tanh(),
    }
}

/// The maximum and the minimum of NaN and a number are NaN.
pub(super) fn binary<T: Real>(binary: Binary, a: T, b: T) -> T {
    match binary {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Max | Binary::Min if a.is_nan() || b.is_nan() => T::nan(),
        Binary::Max => a.max(b),
        Binary::Min => a.min(b),
    }
}

pub(super) fn batch_norm<T: Real>(norm: &BatchNorm, operands: &[&Value<T>]) -> Vec<T> {
    let [x, scale, shift, mean, var] = [0, 1, 2, 3, 4].map(|i| operands[i].array());
    let (channels, inner) = (x.shape()[1], count(&x.shape()[2..]));
    let at = |(i, &v): (usize, &T)| {
        let c = i / inner % channels;
        let deviation = (var.floats()[c] + T::of(norm.epsilon)).sqrt();
        (v - mean.floats()[c]) / deviation * scale.floats()[c] + shift.floats()[c]
    };
    x.floats().iter().enumerate().map(at).collect()
}
