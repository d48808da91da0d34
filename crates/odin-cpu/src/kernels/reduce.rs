//! Operators along axes.

use super::fold::{COLUMNS, FoldTwo, Max, Partial, Sum};
use super::walk::{Walk, row_major};
use super::{Kernel, ScratchSize, Share, Shared, Written};
use crate::simd::{Isa, Simd, Work, math};
use crate::workspace::{Operands, Out, Scratch};
use odin_graph::op::{self, ReduceKind};

/// [`odin_graph::Op::Reduce`].
#[derive(Debug)]
pub(crate) struct Reduce {
    isa: Isa,
    kind: ReduceKind,
    /// Over `x`, the axes that stay.
    kept: Walk<1>,
    /// Over `x`, the axes that go.
    gone: Walk<1>,
    /// How many entries become one.
    count: usize,
}

impl Reduce {
    pub(crate) fn new(isa: Isa, reduce: &op::Reduce, x: &[usize]) -> Self {
        let strides = row_major(x);
        let walk = |goes: bool| {
            let axes = (0..x.len()).filter(|axis| reduce.axes.contains(axis) == goes);
            let (extents, strides): (Vec<usize>, Vec<usize>) =
                axes.map(|axis| (x[axis], strides[axis])).unzip();
            Walk::new(&extents, [&strides])
        };
        Self {
            isa,
            kind: reduce.kind,
            kept: walk(false),
            gone: walk(true),
            count: reduce.axes.iter().map(|&axis| x[axis]).product(),
        }
    }
}

impl Shared for Reduce {
    fn run(&self, x: &Operands<'_>, y: Written<'_>, _: &mut Scratch, share: Share) {
        self.isa.run(ReduceJob {
            reduce: self,
            x: x.floats(0),
            y: y.floats,
            share,
        });
    }
}

struct ReduceJob<'a> {
    reduce: &'a Reduce,
    x: &'a [f32],
    y: Out<'a, f32>,
    share: Share,
}

impl Work for ReduceJob<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.reduce.kind {
            ReduceKind::Max => self.fold(simd, Max),
            ReduceKind::Sum | ReduceKind::Mean => self.fold(simd, Sum),
        }
    }
}

impl ReduceJob<'_> {
    #[inline(always)]
    fn fold<S: Simd, F: FoldTwo>(&self, simd: S, fold: F) {
        let Reduce { kept, gone, .. } = self.reduce;
        let along_runs = gone.extent > 1 && gone.strides == [1];
        match along_runs {
            true => self.lines(simd, fold),
            false => self.columns(simd, fold),
        }
        debug_assert!(along_runs || kept.strides == [1] || kept.extent == 0);
    }

    /// Where neighbouring elements become one. Threads share the results.
    #[inline(always)]
    fn lines<S: Simd, F: FoldTwo>(&self, simd: S, fold: F) {
        let Reduce { kept, gone, .. } = self.reduce;
        for i in self.share.of(self.y.len()) {
            let [first] = kept.at(i);
            let mut partial = Partial::new(simd, fold);
            for run in 0..gone.count() {
                let [offset] = gone.start(run);
                partial.extend(&self.x[first + offset..][..gone.extent]);
            }
            // SAFETY: the result is this thread's own.
            #[allow(unsafe_code)]
            let y = unsafe { self.y.part(i..i + 1) };
            y[0] = self.finished(partial.finish());
        }
    }

    /// Where neighbouring elements go to neighbouring results. Threads share groups of them.
    #[inline(always)]
    fn columns<S: Simd, F: FoldTwo>(&self, simd: S, fold: F) {
        let Reduce { kept, gone, .. } = self.reduce;
        let extent = kept.extent.max(1);
        let groups = extent.div_ceil(COLUMNS);
        for unit in self.share.of(self.y.len() / extent * groups) {
            let (run, first) = (unit / groups, unit % groups * COLUMNS);
            let last = extent.min(first + COLUMNS);
            let start = kept.start(run)[0] + first;
            // SAFETY: the results are this thread's own.
            #[allow(unsafe_code)]
            let y = unsafe { self.y.part(run * extent + first..run * extent + last) };
            let mut partial = Partial::new(simd, fold);
            for i in 0..gone.count() {
                let first = start + gone.start(i)[0];
                for k in 0..gone.extent {
                    partial.extend(&self.x[first + k * gone.strides[0]..][..y.len()]);
                }
            }
            y.copy_from_slice(&partial.columns()[..y.len()]);
            y.iter_mut().for_each(|y| *y = self.finished(*y));
        }
    }

    #[inline(always)]
    fn finished(&self, y: f32) -> f32 {
        match self.reduce.kind {
            ReduceKind::Mean => y / self.reduce.count as f32,
            ReduceKind::Sum | ReduceKind::Max => y,
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
    isa: Isa,
    lines: Lines,
    logarithm: bool,
}

impl Softmax {
    pub(crate) fn new(isa: Isa, shape: &[usize], axis: usize, logarithm: bool) -> Self {
        Self {
            isa,
            lines: Lines::new(shape, axis),
            logarithm,
        }
    }
}

impl Shared for Softmax {
    fn run(&self, x: &Operands<'_>, y: Written<'_>, scratch: &mut Scratch, share: Share) {
        self.isa.run(SoftmaxJob {
            softmax: self,
            x: x.floats(0),
            y: y.floats,
            line: &mut scratch.floats.as_mut_slice()[..self.lines.extent],
            share,
        });
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: self.lines.extent,
            indices: 0,
        }
    }
}

struct SoftmaxJob<'a> {
    softmax: &'a Softmax,
    x: &'a [f32],
    y: Out<'a, f32>,
    line: &'a mut [f32],
    share: Share,
}

impl Work for SoftmaxJob<'_> {
    type Output = ();

    /// Threads share the axes before that of the lines.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Lines {
            outer,
            extent,
            inner,
        } = self.softmax.lines;
        let block = extent * inner;
        for o in self.share.of(outer) {
            let own = o * block..(o + 1) * block;
            // SAFETY: the block is this thread's own.
            #[allow(unsafe_code)]
            let (x, y) = unsafe { (&self.x[own.clone()], self.y.part(own)) };
            if inner == 1 {
                self.softmax.line(simd, x, y);
                continue;
            }
            for i in 0..inner {
                let entries = x[i..].iter().step_by(inner);
                self.line.iter_mut().zip(entries).for_each(|(l, &x)| *l = x);
                let entries = y[i..].iter_mut().step_by(inner);
                self.softmax.line_in_place(simd, self.line);
                entries.zip(&*self.line).for_each(|(y, &l)| *y = l);
            }
        }
    }
}

impl Softmax {
    #[inline(always)]
    fn line<S: Simd>(&self, simd: S, x: &[f32], y: &mut [f32]) {
        y.copy_from_slice(x);
        self.line_in_place(simd, y);
    }

    #[inline(always)]
    fn line_in_place<S: Simd>(&self, simd: S, y: &mut [f32]) {
        let mut largest = Partial::new(simd, Max);
        largest.extend(y);
        let largest = simd.splat(largest.finish());
        if self.logarithm {
            let mut sum = Partial::new(simd, Sum);
            for part in y.chunks(COLUMNS) {
                let mut powers = [0.0; COLUMNS];
                let powers = &mut powers[..part.len()];
                powers.copy_from_slice(part);
                map::<S, Exp>(simd, powers, largest);
                sum.extend(powers);
            }
            map::<S, Less>(simd, y, largest);
            return map::<S, Less>(simd, y, simd.splat(sum.finish().ln()));
        }
        map::<S, Exp>(simd, y, largest);
        let mut sum = Partial::new(simd, Sum);
        sum.extend(y);
        map::<S, Times>(simd, y, simd.splat(1.0 / sum.finish()));
    }
}

/// What is done to each element of a line, given a number for the whole line. Not a closure: the
/// compiler would be free to leave it a function of its own, which has no vectors.
trait OnLine {
    /// To be marked `#[inline(always)]`.
    fn of<S: Simd>(simd: S, x: S::Vector, number: S::Vector) -> S::Vector;
}

struct Exp;
struct Less;
struct Times;

impl OnLine for Exp {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::Vector, largest: S::Vector) -> S::Vector {
        math::exp(simd, simd.sub(x, largest))
    }
}

impl OnLine for Less {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::Vector, number: S::Vector) -> S::Vector {
        simd.sub(x, number)
    }
}

impl OnLine for Times {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::Vector, number: S::Vector) -> S::Vector {
        simd.mul(x, number)
    }
}

/// Replaces each element.
#[inline(always)]
fn map<S: Simd, F: OnLine>(simd: S, y: &mut [f32], number: S::Vector) {
    let rest = y.len() % S::LANES;
    let whole = y.len() - rest;
    let start = y.as_mut_ptr();
    for i in (0..whole).step_by(S::LANES) {
        // SAFETY: a whole vector inside of `y`.
        #[allow(unsafe_code)]
        unsafe {
            let x = simd.load(start.add(i));
            simd.store(start.add(i), F::of(simd, x, number));
        }
    }
    if rest > 0 {
        // SAFETY: the last elements of `y`.
        #[allow(unsafe_code)]
        unsafe {
            let last = start.add(whole);
            let x = simd.load_first(rest, last);
            simd.store_first(rest, last, F::of(simd, x, number));
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
