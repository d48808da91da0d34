//! Pooling: one window entry after the other, over all positions at once.

use super::window::Sliding;
use super::{Kernel, ScratchSize};
use crate::workspace::{Operands, Scratch};
use odin_graph::op::{self, Window};

/// [`odin_graph::Op::MaxPool`].
#[derive(Debug)]
pub(crate) struct MaxPool(Sliding);

impl MaxPool {
    /// Shapes of one image: `[1, C, spatial...]`.
    pub(crate) fn new(window: &Window, x: &[usize], y: &[usize]) -> Self {
        Self(Sliding::new(window, &x[2..], &y[2..]))
    }
}

/// Whether `candidate` takes the place of `best`, which came before it: not a number wins over
/// every number.
fn wins(candidate: f32, best: f32) -> bool {
    candidate > best || (candidate.is_nan() && !best.is_nan())
}

impl Kernel<f32> for MaxPool {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let (x, sliding) = (x.floats(0), &self.0);
        y.fill(f32::NEG_INFINITY);
        let mut runs = Vec::new();
        for tap in 0..sliding.taps() {
            sliding.runs(tap, 0..sliding.rows(), &mut runs);
            let planes = y
                .chunks_exact_mut(sliding.outputs())
                .zip(x.chunks_exact(sliding.inputs()));
            for (y, x) in planes {
                for run in &runs {
                    let y = &mut y[run.output..][..run.len];
                    let x = x[run.input..].iter().step_by(sliding.step());
                    y.iter_mut()
                        .zip(x)
                        .for_each(|(y, &x)| *y = if wins(x, *y) { x } else { *y });
                }
            }
        }
    }
}

/// [`odin_graph::Op::MaxPoolGrad`].
#[derive(Debug)]
pub(crate) struct MaxPoolGrad {
    sliding: Sliding,
    channels: usize,
}

impl MaxPoolGrad {
    /// Shapes of one image: `[1, C, spatial...]`.
    pub(crate) fn new(window: &Window, x: &[usize], dy: &[usize]) -> Self {
        Self {
            sliding: Sliding::new(window, &x[2..], &dy[2..]),
            channels: x[1],
        }
    }

    /// For each position of each channel, where in the channel the largest element lies.
    fn winners(&self, x: &[f32], winners: &mut [usize]) {
        let sliding = &self.sliding;
        winners.fill(usize::MAX);
        let mut runs = Vec::new();
        for tap in 0..sliding.taps() {
            sliding.runs(tap, 0..sliding.rows(), &mut runs);
            let planes = winners.chunks_exact_mut(sliding.outputs());
            for (winners, x) in planes.zip(x.chunks_exact(sliding.inputs())) {
                for run in &runs {
                    let inputs = (run.input..).step_by(sliding.step());
                    for (best, i) in winners[run.output..][..run.len].iter_mut().zip(inputs) {
                        if x.get(*best).is_none_or(|&best| wins(x[i], best)) {
                            *best = i;
                        }
                    }
                }
            }
        }
    }
}

impl Kernel<f32> for MaxPoolGrad {
    fn run(&self, x: &Operands<'_>, dx: &mut [f32], scratch: &mut Scratch) {
        let (x, dy, sliding) = (x.floats(0), x.floats(1), &self.sliding);
        let winners = &mut scratch.indices[..dy.len()];
        self.winners(x, winners);
        dx.fill(0.0);
        let (planes, n) = (dx.chunks_exact_mut(sliding.inputs()), sliding.outputs());
        for ((dx, dy), winners) in planes.zip(dy.chunks_exact(n)).zip(winners.chunks_exact(n)) {
            for (&dy, &i) in dy.iter().zip(winners) {
                if let Some(dx) = dx.get_mut(i) {
                    *dx += dy;
                }
            }
        }
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: 0,
            indices: self.channels * self.sliding.outputs(),
        }
    }
}

/// [`odin_graph::Op::AvgPool`].
#[derive(Debug)]
pub(crate) struct AvgPool {
    sliding: Sliding,
    /// The divisor at each position of a channel.
    counts: Vec<f32>,
}

impl AvgPool {
    /// Shapes of one image: `[1, C, spatial...]`.
    pub(crate) fn new(pool: &op::AvgPool, x: &[usize], y: &[usize]) -> Self {
        let sliding = Sliding::new(&pool.window, &x[2..], &y[2..]);
        let counts = counts(&sliding, pool.count_padding);
        Self { sliding, counts }
    }
}

fn counts(sliding: &Sliding, count_padding: bool) -> Vec<f32> {
    if count_padding {
        return vec![sliding.taps() as f32; sliding.outputs()];
    }
    let mut counts = vec![0.0; sliding.outputs()];
    let mut runs = Vec::new();
    for tap in 0..sliding.taps() {
        sliding.runs(tap, 0..sliding.rows(), &mut runs);
        for run in &runs {
            counts[run.output..][..run.len]
                .iter_mut()
                .for_each(|count| *count += 1.0);
        }
    }
    counts
}

impl Kernel<f32> for AvgPool {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let (x, sliding) = (x.floats(0), &self.sliding);
        y.fill(0.0);
        let mut runs = Vec::new();
        for tap in 0..sliding.taps() {
            sliding.runs(tap, 0..sliding.rows(), &mut runs);
            let planes = y
                .chunks_exact_mut(sliding.outputs())
                .zip(x.chunks_exact(sliding.inputs()));
            for (y, x) in planes {
                for run in &runs {
                    let y = &mut y[run.output..][..run.len];
                    let x = x[run.input..].iter().step_by(sliding.step());
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                }
            }
        }
        for y in y.chunks_exact_mut(sliding.outputs()) {
            y.iter_mut()
                .zip(&self.counts)
                .for_each(|(y, count)| *y /= count);
        }
    }
}
