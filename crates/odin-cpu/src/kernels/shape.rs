//! Operators that rearrange elements: input, padding, concatenation.

use crate::kernels::strided::LoopNest;
use crate::kernels::{ImageIo, ParallelKernel, SerialKernel, Worker};
use crate::memory::{Operands, Scratch};
use odin_graph::op;
use odin_lower::row_major;
use std::ops::Range;

/// Copies one image out of an input batch. An input that does not grow with the batch is the same
/// for every image.
#[derive(Debug)]
pub(crate) struct Load {
    /// The number of the input.
    pub(crate) input: usize,
    /// The layout of the batch.
    pub(crate) layout: odin_lower::BatchLayout,
}

impl SerialKernel<f32> for Load {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let request = x.request();
        self.layout
            .gather(request.inputs[self.input], request.images, x.image(), y);
    }
}

/// [`odin_graph::Op::Pad`]: `x` is read contiguously, `y` written with strides.
#[derive(Debug)]
pub(crate) struct Pad {
    walk: LoopNest<1>,
    first: usize,
    value: f32,
}

impl Pad {
    pub(crate) fn new(pad: &op::Pad, x: &[usize], y: &[usize]) -> Self {
        let strides = row_major(y);
        let first = pad
            .axes
            .iter()
            .map(|border| border.before * strides[border.axis])
            .sum();
        let walk = LoopNest::new(x, [&strides]);
        let value = pad.value;
        Self { walk, first, value }
    }
}

impl ParallelKernel for Pad {
    /// Threads partition the output; each copies the runs of elements inside of its slice.
    fn run_image(&self, ImageIo { x, y }: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let own = worker.slice.of(y.floats.len());
        // SAFETY: the range is this thread's work slice.
        #[allow(unsafe_code)]
        let y = unsafe { y.floats.part(own.clone()) };
        y.fill(self.value);
        let (extent, [stride]) = (self.walk.extent, self.walk.strides);
        let mut runs = x.floats(0).chunks_exact(extent.max(1));
        self.walk.for_each_run(|[offset]| {
            let Some(x) = runs.next() else { return };
            let first = self.first + offset;
            let before = own.start.saturating_sub(first).div_ceil(stride).min(extent);
            let until = own.end.saturating_sub(first).div_ceil(stride).min(extent);
            if before >= until {
                return;
            }
            let y = &mut y[first + before * stride - own.start..];
            match stride {
                1 => y[..until - before].copy_from_slice(&x[before..until]),
                s => {
                    let y = y.iter_mut().step_by(s);
                    y.zip(&x[before..until]).for_each(|(y, &x)| *y = x);
                }
            }
        });
    }
}

/// [`odin_graph::Op::Concat`].
#[derive(Debug)]
pub(crate) struct Concat {
    /// The range of each operand in a line.
    ranges: Vec<Range<usize>>,
    /// The length of a line: one range per operand.
    line: usize,
}

impl Concat {
    pub(crate) fn new(concat: op::Concat, parts: &[Vec<usize>]) -> Self {
        let mut line = 0;
        let range = |part: &Vec<usize>| {
            let start = line;
            line += part[concat.axis..].iter().product::<usize>();
            start..line
        };
        let ranges = parts.iter().map(range).collect();
        Self { ranges, line }
    }

    /// The offset of each operand in the result.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().map(|range| range.start)
    }

    /// Removes the operands that are `inside` of the result already, and returns the others.
    pub(crate) fn leave_out<T: Copy>(&mut self, inside: &[bool], operands: &[T]) -> Vec<T> {
        let mut out = inside.iter();
        self.ranges.retain(|_| out.next() == Some(&false));
        let missing = operands.iter().zip(inside).filter(|(_, inside)| !**inside);
        missing.map(|(operand, _)| *operand).collect()
    }
}

impl ParallelKernel for Concat {
    /// Only the remaining ranges are written: the others hold operands that are computed in place.
    fn run_image(&self, ImageIo { x, y }: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let lines = y.floats.len() / self.line.max(1);
        for (i, range) in self.ranges.iter().enumerate() {
            let x = x.floats(i);
            for line in worker.slice.of(lines) {
                let start = line * self.line + range.start;
                // SAFETY: the line is in this thread's work slice, and no operand overlaps the
                // remaining ranges.
                #[allow(unsafe_code)]
                let y = unsafe { y.floats.part(start..start + range.len()) };
                y.copy_from_slice(&x[line * range.len()..][..range.len()]);
            }
        }
    }
}
