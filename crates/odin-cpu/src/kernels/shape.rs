//! Operators that move elements without changing them.

use crate::kernels::strided::{LoopNest, row_major};
use crate::kernels::{ImageIo, ParallelKernel, SerialKernel, WorkSlice};
use crate::memory::{Operands, Scratch};
use odin_graph::op;
use std::ops::Range;

/// The part of a run's input that belongs to the image at hand. An input that does not grow
/// with the batch belongs to every image.
#[derive(Debug)]
pub(crate) struct Load {
    /// Which input.
    pub(crate) input: usize,
    /// Where each image's elements lie.
    pub(crate) layout: crate::batch::BatchLayout,
}

impl SerialKernel<f32> for Load {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        let request = x.request();
        self.layout
            .gather(request.inputs[self.input], request.images, x.image(), y);
    }
}

/// [`odin_graph::Op::Pad`]: `x` in order, `y` with strides.
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
    /// Threads share the elements of the output; each copies the runs that lie in its own.
    fn run_image(&self, ImageIo { x, y }: &ImageIo<'_>, _: &mut Scratch, slice: WorkSlice) {
        let own = slice.of(y.floats.len());
        // SAFETY: the part is this thread's own.
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
    /// Where the piece of each operand lies in a line.
    pieces: Vec<Range<usize>>,
    /// The length of a line: a piece of every operand.
    line: usize,
}

impl Concat {
    pub(crate) fn new(concat: op::Concat, parts: &[Vec<usize>]) -> Self {
        let mut line = 0;
        let piece = |part: &Vec<usize>| {
            let start = line;
            line += part[concat.axis..].iter().product::<usize>();
            start..line
        };
        let pieces = parts.iter().map(piece).collect();
        Self { pieces, line }
    }

    /// Where the first piece of each operand begins.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = usize> {
        self.pieces.iter().map(|piece| piece.start)
    }

    /// Forgets the operands that are in their place already, and returns the others.
    pub(crate) fn leave_out<T: Copy>(&mut self, there: &[bool], operands: &[T]) -> Vec<T> {
        let mut out = there.iter();
        self.pieces.retain(|_| out.next() == Some(&false));
        let missing = operands.iter().zip(there).filter(|(_, there)| !**there);
        missing.map(|(operand, _)| *operand).collect()
    }
}

impl ParallelKernel for Concat {
    /// Only pieces are written: what lies between them may be an operand.
    fn run_image(&self, ImageIo { x, y }: &ImageIo<'_>, _: &mut Scratch, slice: WorkSlice) {
        let lines = y.floats.len() / self.line.max(1);
        for (i, piece) in self.pieces.iter().enumerate() {
            let x = x.floats(i);
            for line in slice.of(lines) {
                let start = line * self.line + piece.start;
                // SAFETY: the line is this thread's own, and no operand lies under the pieces
                // that are left.
                #[allow(unsafe_code)]
                let y = unsafe { y.floats.part(start..start + piece.len()) };
                y.copy_from_slice(&x[line * piece.len()..][..piece.len()]);
            }
        }
    }
}
