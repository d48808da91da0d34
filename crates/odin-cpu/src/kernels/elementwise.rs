//! Elementwise operators that are not fused.

use crate::kernels::SerialKernel;
use crate::kernels::strided::LoopNest;
use crate::memory::{Operands, Scratch};
use odin_graph::op;

/// [`odin_graph::Op::BatchNorm`] with parameters that depend on the image.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    epsilon: f32,
    /// Elements per channel.
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

impl SerialKernel<f32> for BatchNorm {
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

/// [`odin_graph::Op::Compare`] whose mask several steps read.
#[derive(Debug)]
pub(crate) struct Compare {
    op: op::Compare,
    walk: LoopNest<2>,
}

impl Compare {
    pub(crate) fn new(op: op::Compare, a: &[usize], b: &[usize], y: &[usize]) -> Self {
        let walk = LoopNest::broadcast(y, [a, b]);
        Self { op, walk }
    }

    fn apply(&self, x: &Operands<'_>, y: &mut [bool], f: impl Fn(f32, f32) -> bool) {
        let (a, b) = (x.floats(0), x.floats(1));
        let [s, t] = self.walk.strides;
        let mut runs = y.chunks_exact_mut(self.walk.extent.max(1));
        self.walk.for_each_run(|[i, j]| {
            let Some(y) = runs.next() else { return };
            let elements = y.iter_mut().enumerate();
            elements.for_each(|(k, y)| *y = f(a[i + k * s], b[j + k * t]));
        });
    }
}

impl SerialKernel<bool> for Compare {
    fn run(&self, x: &Operands<'_>, y: &mut [bool], _: &mut Scratch) {
        match self.op {
            op::Compare::Greater => self.apply(x, y, |a, b| a > b),
            op::Compare::GreaterOrEqual => self.apply(x, y, |a, b| a >= b),
        }
    }
}
