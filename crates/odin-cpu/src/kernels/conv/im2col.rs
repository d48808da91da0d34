//! Convolutions of any number of axes, with weights that may depend on the image, by im2col: the
//! input is unfolded, in blocks of rows that fit a cache, and multiplied as a matrix. Depthwise
//! ones are computed directly. For what the other kernels do not support.

use crate::kernels::SerialKernel;
use crate::kernels::conv::sliding_window::{SlidingWindow, TapRun};
use crate::kernels::gemm::small::{MatrixView, gemm};
use crate::memory::{Operands, Scratch, ScratchSize};
use crate::simd::Isa;
use odin_graph::op;
use std::ops::Range;

/// Unfolded elements of a block to aim at: 1 MiB, half of a usual second-level cache.
const BLOCK_ELEMENTS: usize = 1 << 18;

/// The channels of a convolution or of its adjoint: `inner` ones on the side of the convolution's
/// input, `outer` ones on the side of its output.
#[derive(Debug)]
struct Channels {
    isa: Isa,
    sliding: SlidingWindow,
    groups: usize,
    /// Per group.
    inner: usize,
    /// Per group.
    outer: usize,
}

impl Channels {
    /// Shapes without the batch axis: `[C, spatial...]`.
    fn new(
        isa: Isa,
        window: &op::Window,
        groups: usize,
        input: &[usize],
        output: &[usize],
    ) -> Self {
        Self {
            isa,
            sliding: SlidingWindow::new(window, &input[1..], &output[1..]),
            groups,
            inner: input[0] / groups,
            outer: output[0] / groups,
        }
    }

    fn is_depthwise(&self) -> bool {
        self.inner == 1
    }

    /// Unfolded elements per window position.
    fn depth(&self) -> usize {
        self.inner.saturating_mul(self.sliding.taps())
    }

    fn rows_per_block(&self) -> usize {
        let row = self.depth().saturating_mul(self.sliding.width()).max(1);
        (BLOCK_ELEMENTS / row).clamp(1, self.sliding.rows().max(1))
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, step) = (self.sliding.rows(), self.rows_per_block());
        (0..rows)
            .step_by(step)
            .map(move |first| first..rows.min(first + step))
    }

    fn scratch(&self) -> ScratchSize {
        let block = self
            .depth()
            .saturating_mul(self.sliding.width())
            .saturating_mul(self.rows_per_block());
        ScratchSize {
            floats: if self.is_depthwise() { 0 } else { block },
            indices: 0,
        }
    }

    /// Calls `f` with each tap and the runs of positions in `rows` at which it reads the input.
    fn each_tap(&self, rows: Range<usize>, mut f: impl FnMut(usize, &[TapRun])) {
        let mut runs = Vec::new();
        for tap in 0..self.sliding.taps() {
            self.sliding.runs(tap, rows.clone(), &mut runs);
            f(tap, &runs);
        }
    }
}

/// [`odin_graph::Op::Conv`].
#[derive(Debug)]
pub(crate) struct Conv(Channels);

impl Conv {
    /// Shapes of one image: `[1, C, spatial...]`.
    pub(crate) fn new(isa: Isa, conv: &op::Conv, x: &[usize], y: &[usize]) -> Self {
        Self(Channels::new(
            isa,
            &conv.window,
            conv.groups,
            &x[1..],
            &y[1..],
        ))
    }

    fn direct(&self, x: &[f32], w: &[f32], y: &mut [f32]) {
        let Channels { sliding, outer, .. } = &self.0;
        let (step, taps) = (sliding.step(), sliding.taps());
        self.0.each_tap(0..sliding.rows(), |tap, runs| {
            for (m, plane) in y.chunks_exact_mut(sliding.outputs()).enumerate() {
                let x = &x[m / outer * sliding.inputs()..];
                let factor = w[m * taps + tap];
                for run in runs {
                    let y = &mut plane[run.output..run.output + run.len];
                    let x = x[run.input..].iter().step_by(step);
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
                }
            }
        });
    }

    fn by_im2col(&self, x: &[f32], w: &[f32], y: &mut [f32], scratch: &mut Scratch) {
        let Channels {
            sliding,
            inner,
            outer,
            groups,
            ..
        } = &self.0;
        let (positions, depth) = (sliding.outputs(), self.0.depth());
        for group in 0..*groups {
            let x = &x[group * inner * sliding.inputs()..][..inner * sliding.inputs()];
            let w = MatrixView::rows(&w[group * outer * depth..][..outer * depth], depth);
            let y = &mut y[group * outer * positions..][..outer * positions];
            if sliding.is_identity() {
                let x = MatrixView::rows(x, positions);
                gemm(
                    self.0.isa,
                    [*outer, positions, depth],
                    w,
                    x,
                    y,
                    positions,
                    true,
                );
                continue;
            }
            for rows in self.0.blocks() {
                let (first, n) = (rows.start * sliding.width(), rows.len() * sliding.width());
                let columns = &mut scratch.floats.as_mut_slice()[..depth * n];
                self.im2col(x, rows, first, n, columns);
                let columns = MatrixView::rows(columns, n);
                gemm(
                    self.0.isa,
                    [*outer, n, depth],
                    w,
                    columns,
                    &mut y[first..],
                    positions,
                    true,
                );
            }
        }
    }

    /// Unfolds the input: for each channel and tap, the line of elements read at the positions.
    fn im2col(&self, x: &[f32], rows: Range<usize>, first: usize, n: usize, columns: &mut [f32]) {
        let sliding = &self.0.sliding;
        let (step, taps) = (sliding.step(), sliding.taps());
        self.0.each_tap(rows, |tap, runs| {
            for (channel, plane) in x.chunks_exact(sliding.inputs()).enumerate() {
                let line = &mut columns[(channel * taps + tap) * n..][..n];
                let covered: usize = runs.iter().map(|run| run.len).sum();
                if covered < n {
                    line.fill(0.0);
                }
                for run in runs {
                    let to = &mut line[run.output - first..][..run.len];
                    match step {
                        1 => to.copy_from_slice(&plane[run.input..][..run.len]),
                        _ => copy_strided(to, &plane[run.input..], step),
                    }
                }
            }
        });
    }
}

fn copy_strided(to: &mut [f32], from: &[f32], step: usize) {
    to.iter_mut()
        .zip(from.iter().step_by(step))
        .for_each(|(to, from)| *to = *from);
}

impl SerialKernel<f32> for Conv {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], scratch: &mut Scratch) {
        fill_with_bias(x, self.0.sliding.outputs(), y);
        match self.0.is_depthwise() && !self.0.sliding.is_identity() {
            true => self.direct(x.floats(0), x.floats(1), y),
            false => self.by_im2col(x.floats(0), x.floats(1), y, scratch),
        }
    }

    fn scratch(&self) -> ScratchSize {
        self.0.scratch()
    }
}

/// [`odin_graph::Op::ConvTranspose`], by col2im: products are added to the elements that their taps
/// read.
#[derive(Debug)]
pub(crate) struct ConvTranspose(Channels);

impl ConvTranspose {
    /// Shapes of one image: `[1, C, spatial...]`.
    pub(crate) fn new(isa: Isa, conv: &op::ConvTranspose, x: &[usize], y: &[usize]) -> Self {
        Self(Channels::new(
            isa,
            &conv.window,
            conv.groups,
            &y[1..],
            &x[1..],
        ))
    }

    fn direct(&self, x: &[f32], w: &[f32], y: &mut [f32]) {
        let Channels { sliding, outer, .. } = &self.0;
        let (step, taps) = (sliding.step(), sliding.taps());
        self.0.each_tap(0..sliding.rows(), |tap, runs| {
            for (c, plane) in x.chunks_exact(sliding.outputs()).enumerate() {
                let y = &mut y[c / outer * sliding.inputs()..];
                let factor = w[c * taps + tap];
                for run in runs {
                    let x = &plane[run.output..][..run.len];
                    let y = y[run.input..].iter_mut().step_by(step);
                    y.zip(x).for_each(|(y, x)| *y += factor * x);
                }
            }
        });
    }

    fn by_col2im(&self, x: &[f32], w: &[f32], y: &mut [f32], scratch: &mut Scratch) {
        let Channels {
            sliding,
            inner,
            outer,
            groups,
            ..
        } = &self.0;
        let (positions, depth) = (sliding.outputs(), self.0.depth());
        for group in 0..*groups {
            let x = &x[group * outer * positions..][..outer * positions];
            let w = MatrixView::rows(&w[group * outer * depth..][..outer * depth], depth);
            let y = &mut y[group * inner * sliding.inputs()..][..inner * sliding.inputs()];
            for rows in self.0.blocks() {
                let (first, n) = (rows.start * sliding.width(), rows.len() * sliding.width());
                let columns = &mut scratch.floats.as_mut_slice()[..depth * n];
                let x = MatrixView::rows(&x[first..], positions);
                gemm(
                    self.0.isa,
                    [depth, n, *outer],
                    w.transposed(),
                    x,
                    columns,
                    n,
                    false,
                );
                self.col2im(columns, rows, first, n, y);
            }
        }
    }

    /// Adds each line of products to the elements of its channel that its tap reads.
    fn col2im(&self, columns: &[f32], rows: Range<usize>, first: usize, n: usize, y: &mut [f32]) {
        let sliding = &self.0.sliding;
        let (step, taps) = (sliding.step(), sliding.taps());
        self.0.each_tap(rows, |tap, runs| {
            for (channel, plane) in y.chunks_exact_mut(sliding.inputs()).enumerate() {
                let line = &columns[(channel * taps + tap) * n..][..n];
                for run in runs {
                    let from = &line[run.output - first..][..run.len];
                    let to = plane[run.input..].iter_mut().step_by(step);
                    to.zip(from).for_each(|(to, from)| *to += from);
                }
            }
        });
    }
}

impl SerialKernel<f32> for ConvTranspose {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], scratch: &mut Scratch) {
        fill_with_bias(x, self.0.sliding.inputs(), y);
        match self.0.is_depthwise() {
            true => self.direct(x.floats(0), x.floats(1), y),
            false => self.by_col2im(x.floats(0), x.floats(1), y, scratch),
        }
    }

    fn scratch(&self) -> ScratchSize {
        self.0.scratch()
    }
}

/// The bias is operand 2, if there is one.
fn fill_with_bias(x: &Operands<'_>, plane: usize, y: &mut [f32]) {
    match x.count() {
        3 => {
            let planes = y.chunks_exact_mut(plane);
            planes
                .zip(x.floats(2))
                .for_each(|(plane, &b)| plane.fill(b));
        }
        _ => y.fill(0.0),
    }
}
