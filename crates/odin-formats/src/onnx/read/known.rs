//! Numbers that are known when a file is read: shapes, axes, indices, and what is computed from
//! them.

use crate::Error;
use odin_graph::Dim;

/// What the numbers were in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Bool,
}

/// A number, or that many for each image: extents that grow with the batch stay symbols. So do
/// numbers that grow from image to image: `value + slope · n` for the n-th.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) per_image: bool,
    pub(super) slope: f64,
}

impl Number {
    pub(super) fn fixed(value: f64) -> Self {
        Self {
            value,
            per_image: false,
            slope: 0.0,
        }
    }

    /// Whether it is the same for every batch and image.
    pub(super) fn is_fixed(self) -> bool {
        !self.per_image && self.slope == 0.0
    }

    fn is_zero(self) -> bool {
        self.value == 0.0
    }
}

impl From<Dim> for Number {
    fn from(dim: Dim) -> Self {
        Self {
            value: dim.at(1) as f64,
            per_image: dim.fixed().is_none(),
            slope: 0.0,
        }
    }
}

/// An array of such numbers, row-major. f64 holds every integer that an extent can be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<Number>,
}

impl Known {
    pub(super) fn vector(kind: Kind, data: Vec<Number>) -> Self {
        let shape = vec![data.len()];
        Self { kind, shape, data }
    }

    /// The integers of an array that does not depend on the batch.
    pub(super) fn ints(&self) -> Result<Vec<i64>, Error> {
        let int = |n: &Number| match n.is_fixed() {
            // The ends of the range of i64 stand for "as far as it goes".
            true if n.value.fract() == 0.0 => Ok(n.value as i64),
            true => Err(Error::unsupported(format!("{} is no integer", n.value))),
            false => Err(Error::unsupported(
                "a number that depends on the size of the batch is used where a fixed one is needed",
            )),
        };
        self.data.iter().map(int).collect()
    }

    /// The same numbers in another shape of as many elements.
    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Result<Self, Error> {
        if shape.iter().product::<usize>() != self.data.len() {
            return Err(Error::corrupt(format!(
                "{:?} cannot be read as {shape:?}",
                self.shape
            )));
        }
        let (kind, data) = (self.kind, self.data.clone());
        Ok(Self { kind, shape, data })
    }
}

/// Arithmetic on numbers of which some grow with the batch.
pub(super) fn binary(op: &str, a: Number, b: Number, ints: bool) -> Option<Number> {
    let (x, y) = (a.value, b.value);
    let per_image = a.per_image || b.per_image;
    if a.slope != 0.0 || b.slope != 0.0 {
        return along_images(op, a, b);
    }
    let one_grows = a.per_image != b.per_image;
    let (value, allowed) = match op {
        "Add" => (x + y, !one_grows || a.is_zero() || b.is_zero()),
        "Sub" => (x - y, !one_grows || b.is_zero()),
        "Mul" => (x * y, !(a.per_image && b.per_image)),
        "Div" if ints && y == 0.0 => return None,
        "Div" => {
            let quotient = if ints { (x / y).trunc() } else { x / y };
            let exact = quotient * y == x;
            if a.per_image && b.per_image {
                return exact.then_some(Number::fixed(quotient));
            }
            (quotient, !b.per_image && (!a.per_image || exact))
        }
        "Mod" if y == 0.0 => return None,
        "Mod" => (x - y * (x / y).floor(), !per_image),
        "fmod" => (x % y, !per_image),
        "Pow" => (x.powf(y), !per_image),
        "Max" => (x.max(y), !one_grows),
        "Min" => (x.min(y), !one_grows),
        _ => return None,
    };
    let slope = 0.0;
    allowed.then_some(Number {
        value,
        per_image,
        slope,
    })
}

/// Arithmetic on numbers that grow from image to image.
fn along_images(op: &str, a: Number, b: Number) -> Option<Number> {
    let (value, slope) = match op {
        "Add" => (a.value + b.value, a.slope + b.slope),
        "Sub" => (a.value - b.value, a.slope - b.slope),
        "Mul" if b.is_fixed() => (a.value * b.value, a.slope * b.value),
        "Mul" if a.is_fixed() => (a.value * b.value, a.value * b.slope),
        _ => return None,
    };
    (!a.per_image && !b.per_image).then_some(Number {
        value,
        per_image: false,
        slope,
    })
}

/// A comparison. A number that grows with the batch equals no fixed one, and exceeds those below
/// its value for a single image.
pub(super) fn compare(op: &str, a: Number, b: Number) -> Option<bool> {
    let same_kind = a.per_image == b.per_image;
    if a.slope != 0.0 || b.slope != 0.0 {
        return None;
    }
    let (x, y) = (a.value, b.value);
    match op {
        "Equal" => Some(same_kind && x == y),
        "Greater" if same_kind => Some(x > y),
        "GreaterOrEqual" if same_kind => Some(x >= y),
        "Less" if same_kind => Some(x < y),
        "LessOrEqual" if same_kind => Some(x <= y),
        "Greater" | "GreaterOrEqual" if a.per_image && y < x => Some(true),
        "Less" | "LessOrEqual" if b.per_image && x < y => Some(true),
        "Less" | "LessOrEqual" if a.per_image && y < x => Some(false),
        "Greater" | "GreaterOrEqual" if b.per_image && x < y => Some(false),
        _ => None,
    }
}

pub(super) fn unary(op: &str, x: f64) -> Option<f64> {
    Some(match op {
        "Abs" => x.abs(),
        "Ceil" => x.ceil(),
        "Exp" => x.exp(),
        "Floor" => x.floor(),
        "Log" => x.ln(),
        "Neg" => -x,
        "Not" => f64::from(x == 0.0),
        "Reciprocal" => 1.0 / x,
        "Round" => x.round_ties_even(),
        "Sign" if x == 0.0 => 0.0,
        "Sign" => x.signum(),
        "Sqrt" => x.sqrt(),
        _ => return None,
    })
}
