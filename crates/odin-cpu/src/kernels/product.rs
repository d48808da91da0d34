//! Products of matrices.

use super::Kernel;
use super::gemm::{Matrix, gemm};
use super::walk::Walk;
use crate::workspace::{Operands, Scratch};
use odin_graph::op;

/// [`odin_graph::Op::MatMul`].
#[derive(Debug)]
pub(crate) struct MatMul {
    extents: [usize; 3],
    /// Over the leading axes, in matrices.
    lead: Walk<2>,
}

impl MatMul {
    pub(crate) fn new(a: &[usize], b: &[usize], y: &[usize]) -> Self {
        let lead = |shape: &[usize]| shape[..shape.len() - 2].to_vec();
        Self {
            extents: [y[y.len() - 2], y[y.len() - 1], a[a.len() - 1]],
            lead: Walk::broadcast(&lead(y), [&lead(a), &lead(b)]),
        }
    }
}

impl Kernel<f32> for MatMul {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let [m, n, k] = self.extents;
        let (a, b) = (x.floats(0), x.floats(1));
        let mut matrices = y.chunks_exact_mut((m * n).max(1));
        self.lead.runs(|[i, j]| {
            for step in 0..self.lead.extent {
                let Some(y) = matrices.next() else { return };
                let [i, j] = [
                    i + step * self.lead.strides[0],
                    j + step * self.lead.strides[1],
                ];
                let a = Matrix::rows(&a[i * m * k..][..m * k], k);
                let b = Matrix::rows(&b[j * k * n..][..k * n], n);
                gemm(self.extents, 1.0, a, b, y, n, false);
            }
        });
    }
}

/// [`odin_graph::Op::Gemm`].
#[derive(Debug)]
pub(crate) struct Gemm {
    gemm: op::Gemm,
    extents: [usize; 3],
    addend: Option<Walk<1>>,
}

impl Gemm {
    pub(crate) fn new(gemm: op::Gemm, a: &[usize], c: Option<&[usize]>, y: &[usize]) -> Self {
        Self {
            gemm,
            extents: [y[0], y[1], a[usize::from(!gemm.trans_a)]],
            addend: c.map(|c| Walk::broadcast(y, [c])),
        }
    }

    fn start(&self, c: &[f32], walk: &Walk<1>, y: &mut [f32]) {
        let mut runs = y.chunks_exact_mut(walk.extent.max(1));
        walk.runs(|[offset]| {
            let Some(y) = runs.next() else { return };
            for (k, y) in y.iter_mut().enumerate() {
                *y = self.gemm.beta * c[offset + k * walk.strides[0]];
            }
        });
    }
}

impl Kernel<f32> for Gemm {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let [m, n, k] = self.extents;
        let stored = |transposed, rows, columns| if transposed { rows } else { columns };
        let (trans_a, trans_b) = (self.gemm.trans_a, self.gemm.trans_b);
        let a = Matrix::rows(x.floats(0), stored(trans_a, m, k)).transposed_if(trans_a);
        let b = Matrix::rows(x.floats(1), stored(trans_b, k, n)).transposed_if(trans_b);
        if let Some(walk) = &self.addend {
            self.start(x.floats(2), walk, y);
        }
        gemm(
            self.extents,
            self.gemm.alpha,
            a,
            b,
            y,
            n,
            self.addend.is_some(),
        );
    }
}
