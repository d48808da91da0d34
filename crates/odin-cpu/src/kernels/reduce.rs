//! Operators along axes.

use super::Kernel;
use super::walk::{Walk, row_major};
use crate::workspace::{Operands, Scratch};
use odin_graph::op::{self, ReduceKind};

/// [`odin_graph::Op::Reduce`]: `x` in order, `y` with strides that are 0 along the axes that go.
#[derive(Debug)]
pub(crate) struct Reduce {
    kind: ReduceKind,
    walk: Walk<1>,
    /// How many entries become one.
    count: usize,
}

impl Reduce {
    pub(crate) fn new(reduce: &op::Reduce, x: &[usize]) -> Self {
        let mut kept = x.to_vec();
        reduce.axes.iter().for_each(|&axis| kept[axis] = 1);
        let mut strides = row_major(&kept);
        reduce.axes.iter().for_each(|&axis| strides[axis] = 0);
        Self {
            kind: reduce.kind,
            walk: Walk::new(x, [&strides]),
            count: reduce.axes.iter().map(|&axis| x[axis]).product(),
        }
    }

    fn fold(&self, x: &[f32], y: &mut [f32], start: f32, f: impl Fn(f32, f32) -> f32) {
        y.fill(start);
        let mut runs = x.chunks_exact(self.walk.extent.max(1));
        self.walk.runs(|[offset]| {
            let Some(x) = runs.next() else { return };
            let y = &mut y[offset..];
            match self.walk.strides {
                [0] => y[0] = x.iter().fold(y[0], |y, &x| f(y, x)),
                [s] => y
                    .iter_mut()
                    .step_by(s)
                    .zip(x)
                    .for_each(|(y, &x)| *y = f(*y, x)),
            }
        });
    }
}

impl Kernel<f32> for Reduce {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let x = x.floats(0);
        match self.kind {
            ReduceKind::Sum => self.fold(x, y, 0.0, |a, b| a + b),
            ReduceKind::Max => self.fold(x, y, f32::NEG_INFINITY, f32::max),
            ReduceKind::Mean => {
                self.fold(x, y, 0.0, |a, b| a + b);
                y.iter_mut().for_each(|y| *y /= self.count as f32);
            }
        }
    }
}

/// The lines of an array along an axis.
#[derive(Debug, Clone, Copy)]
struct Lines {
    outer: usize,
    extent: usize,
    inner: usize,
}

impl Lines {
    fn new(shape: &[usize], axis: usize) -> Self {
        Self {
            outer: shape[..axis].iter().product(),
            extent: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }

    /// The offsets of the first elements, in the row-major order of the other axes.
    fn starts(self) -> impl Iterator<Item = usize> {
        let block = self.extent * self.inner;
        (0..self.outer).flat_map(move |o| (0..self.inner).map(move |i| o * block + i))
    }

    /// The line that starts at an offset.
    fn line(self, x: &[f32], start: usize) -> impl Iterator<Item = f32> + Clone {
        x[start..]
            .iter()
            .step_by(self.inner.max(1))
            .take(self.extent)
            .copied()
    }
}

/// [`odin_graph::Op::Softmax`] and [`odin_graph::Op::LogSoftmax`], with the largest entry
/// subtracted first so that no exponential overflows.
#[derive(Debug)]
pub(crate) struct Softmax {
    lines: Lines,
    logarithm: bool,
}

impl Softmax {
    pub(crate) fn new(shape: &[usize], axis: usize, logarithm: bool) -> Self {
        let lines = Lines::new(shape, axis);
        Self { lines, logarithm }
    }
}

impl Kernel<f32> for Softmax {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let x = x.floats(0);
        for start in self.lines.starts() {
            let line = self.lines.line(x, start);
            let max = line.clone().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = line.clone().map(|x| (x - max).exp()).sum();
            let y = y[start..]
                .iter_mut()
                .step_by(self.lines.inner.max(1))
                .zip(line);
            match self.logarithm {
                true => y.for_each(|(y, x)| *y = x - max - sum.ln()),
                false => y.for_each(|(y, x)| *y = (x - max).exp() / sum),
            }
        }
    }
}

/// [`odin_graph::Op::ArgMax`]; not a number counts as the largest.
#[derive(Debug)]
pub(crate) struct ArgMax(Lines);

impl ArgMax {
    pub(crate) fn new(shape: &[usize], axis: usize) -> Self {
        Self(Lines::new(shape, axis))
    }
}

impl Kernel<i64> for ArgMax {
    fn run(&self, x: &Operands<'_>, y: &mut [i64], _: &mut Scratch) {
        let x = x.floats(0);
        for (y, start) in y.iter_mut().zip(self.0.starts()) {
            let mut best = (0, x[start]);
            for (i, v) in self.0.line(x, start).enumerate() {
                if v > best.1 || (v.is_nan() && !best.1.is_nan()) {
                    best = (i, v);
                }
            }
            *y = best.0 as i64;
        }
    }
}

/// [`odin_graph::Op::OneHot`].
#[derive(Debug)]
pub(crate) struct OneHot {
    pub(crate) depth: usize,
}

impl Kernel<f32> for OneHot {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        y.fill(0.0);
        for (y, &hot) in y.chunks_exact_mut(self.depth.max(1)).zip(x.ints(0)) {
            if let Some(y) = usize::try_from(hot).ok().and_then(|hot| y.get_mut(hot)) {
                *y = 1.0;
            }
        }
    }
}
