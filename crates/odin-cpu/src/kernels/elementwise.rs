//! Operators whose every element depends on one element of each operand.

use super::Kernel;
use super::walk::Walk;
use crate::workspace::{Operands, Scratch};
use odin_graph::op::{self, Binary};

/// [`odin_graph::Op::Relu`].
#[derive(Debug)]
pub(crate) struct Relu;

/// `max(x, 0)`; not a number stays what it is.
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

impl Kernel<f32> for Relu {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        y.iter_mut()
            .zip(x.floats(0))
            .for_each(|(y, &x)| *y = relu(x));
    }
}

/// [`odin_graph::Op::Unary`].
#[derive(Debug)]
pub(crate) struct Unary(pub(crate) op::Unary);

impl Kernel<f32> for Unary {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let x = x.floats(0);
        match self.0 {
            op::Unary::Clip { min, max } => map(x, y, |x| clip(x, min, max)),
            op::Unary::Cos => map(x, y, f32::cos),
            op::Unary::Erf => map(x, y, libm::erff),
            op::Unary::Exp => map(x, y, f32::exp),
            op::Unary::Log => map(x, y, f32::ln),
            op::Unary::Sigmoid => map(x, y, |x| 1.0 / (1.0 + (-x).exp())),
            op::Unary::Sin => map(x, y, f32::sin),
            op::Unary::Softplus => map(x, y, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
            op::Unary::Sqrt => map(x, y, f32::sqrt),
            op::Unary::Tanh => map(x, y, f32::tanh),
        }
    }
}

fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x));
}

/// Not a number stays what it is.
fn clip(x: f32, min: f32, max: f32) -> f32 {
    let above = if x < min { min } else { x };
    if above > max { max } else { above }
}

/// The result of a maximum or minimum, of which not a number wins over every number.
fn unless_nan(a: f32, b: f32, result: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::NAN
    } else {
        result
    }
}

/// [`odin_graph::Op::BatchNorm`] with parameters that depend on the image.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    epsilon: f32,
    /// Elements of a channel.
    plane: usize,
}

impl BatchNorm {
    /// The shape of one image, `[1, C, ...]`.
    pub(crate) fn new(norm: &op::BatchNorm, x: &[usize]) -> Self {
        Self {
            epsilon: norm.epsilon,
            plane: x[2..].iter().product(),
        }
    }
}

impl Kernel<f32> for BatchNorm {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let [scale, shift, mean, var] = [1, 2, 3, 4].map(|i| x.floats(i));
        let plane = self.plane.max(1);
        let planes = y
            .chunks_exact_mut(plane)
            .zip(x.floats(0).chunks_exact(plane));
        for (c, (y, x)) in (0..scale.len()).cycle().zip(planes) {
            let [scale, shift, mean, var] = [scale, shift, mean, var].map(|p| f64::from(p[c]));
            let factor = scale / (var + f64::from(self.epsilon)).sqrt();
            let (factor, addend) = (factor as f32, (shift - mean * factor) as f32);
            y.iter_mut()
                .zip(x)
                .for_each(|(y, x)| *y = factor * x + addend);
        }
    }
}

/// A function of two numbers under broadcasting: [`odin_graph::Op::Binary`] and
/// [`odin_graph::Op::Compare`].
#[derive(Debug)]
pub(crate) struct Zip<Op> {
    op: Op,
    walk: Walk<2>,
}

impl<Op> Zip<Op> {
    pub(crate) fn new(op: Op, a: &[usize], b: &[usize], y: &[usize]) -> Self {
        let walk = Walk::broadcast(y, [a, b]);
        Self { op, walk }
    }

    fn apply<T>(&self, x: &Operands<'_>, y: &mut [T], f: impl Fn(f32, f32) -> T) {
        let (a, b) = (x.floats(0), x.floats(1));
        let mut runs = y.chunks_exact_mut(self.walk.extent.max(1));
        self.walk.runs(|[i, j]| {
            let Some(y) = runs.next() else { return };
            let (a, b) = (&a[i..], &b[j..]);
            match self.walk.strides {
                [1, 1] => y
                    .iter_mut()
                    .zip(a.iter().zip(b))
                    .for_each(|(y, (&a, &b))| *y = f(a, b)),
                [1, 0] => y.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a, b[0])),
                [0, 1] => y.iter_mut().zip(b).for_each(|(y, &b)| *y = f(a[0], b)),
                [s, t] => {
                    let elements = y.iter_mut().enumerate();
                    elements.for_each(|(k, y)| *y = f(a[k * s], b[k * t]));
                }
            }
        });
    }
}

impl Kernel<f32> for Zip<Binary> {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        match self.op {
            Binary::Add => self.apply(x, y, |a, b| a + b),
            Binary::Sub => self.apply(x, y, |a, b| a - b),
            Binary::Mul => self.apply(x, y, |a, b| a * b),
            Binary::Div => self.apply(x, y, |a, b| a / b),
            Binary::Pow => self.apply(x, y, f32::powf),
            Binary::Max => self.apply(x, y, |a, b| unless_nan(a, b, a.max(b))),
            Binary::Min => self.apply(x, y, |a, b| unless_nan(a, b, a.min(b))),
        }
    }
}

impl Kernel<bool> for Zip<op::Compare> {
    fn run(&self, x: &Operands<'_>, y: &mut [bool], _: &mut Scratch) {
        match self.op {
            op::Compare::Greater => self.apply(x, y, |a, b| a > b),
            op::Compare::GreaterOrEqual => self.apply(x, y, |a, b| a >= b),
        }
    }
}

/// [`odin_graph::Op::Where`].
#[derive(Debug)]
pub(crate) struct Where(Walk<3>);

impl Where {
    pub(crate) fn new(operands: [&[usize]; 3], y: &[usize]) -> Self {
        Self(Walk::broadcast(y, operands))
    }
}

impl Kernel<f32> for Where {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let (condition, a, b) = (x.masks(0), x.floats(1), x.floats(2));
        let mut runs = y.chunks_exact_mut(self.0.extent.max(1));
        let select = |c, a, b| if c { a } else { b };
        self.0.runs(|[h, i, j]| {
            let Some(y) = runs.next() else { return };
            let (c, a, b) = (&condition[h..], &a[i..], &b[j..]);
            match self.0.strides {
                [1, 1, 1] => {
                    let branches = a.iter().zip(b);
                    let elements = y.iter_mut().zip(c).zip(branches);
                    elements.for_each(|((y, &c), (&a, &b))| *y = select(c, a, b));
                }
                [1, 1, 0] => {
                    let elements = y.iter_mut().zip(c).zip(a);
                    elements.for_each(|((y, &c), &a)| *y = select(c, a, b[0]));
                }
                [s, t, u] => {
                    let elements = y.iter_mut().enumerate();
                    elements.for_each(|(k, y)| *y = select(c[k * s], a[k * t], b[k * u]));
                }
            }
        });
    }
}
