//! Operators along axes: reductions, softmax, argmax, the largest elements, one-hot.

use crate::kernels::reduction::{Accumulator, COLUMNS, CombineScalars, Max, Sum};
use crate::kernels::strided::LoopNest;
use crate::kernels::{ImageIo, SerialKernel, SimdKernel, WorkSlice, Worker};
use crate::memory::{Operands, Scratch, ScratchSize};
use crate::simd::{Isa, Simd, math};
use odin_graph::op::{self, ReduceKind};
use odin_lower::row_major;

/// [`odin_graph::Op::Reduce`].
#[derive(Debug)]
pub(crate) struct Reduce {
    isa: Isa,
    kind: ReduceKind,
    /// Over the axes of `x` that are kept.
    kept: LoopNest<1>,
    /// Over the axes of `x` that are reduced.
    reduced: LoopNest<1>,
    /// The number of elements reduced to one.
    count: usize,
}

impl Reduce {
    pub(crate) fn new(isa: Isa, reduce: &op::Reduce, x: &[usize]) -> Self {
        let strides = row_major(x);
        let walk = |goes: bool| {
            let axes = (0..x.len()).filter(|axis| reduce.axes.contains(axis) == goes);
            let (extents, strides): (Vec<usize>, Vec<usize>) =
                axes.map(|axis| (x[axis], strides[axis])).unzip();
            LoopNest::new(&extents, [&strides])
        };
        Self {
            isa,
            kind: reduce.kind,
            kept: walk(false),
            reduced: walk(true),
            count: reduce.axes.iter().map(|&axis| x[axis]).product(),
        }
    }
}

impl SimdKernel for Reduce {
    fn isa(&self) -> Isa {
        self.isa
    }

    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        match self.kind {
            ReduceKind::Max => self.reduce(simd, Max, image, worker.slice),
            ReduceKind::Sum | ReduceKind::Mean => self.reduce(simd, Sum, image, worker.slice),
        }
    }
}

impl Reduce {
    #[inline(always)]
    fn reduce<S: Simd, F: CombineScalars>(
        &self,
        simd: S,
        combine: F,
        image: &ImageIo<'_>,
        slice: WorkSlice,
    ) {
        let Reduce { kept, reduced, .. } = self;
        let along_runs = reduced.extent > 1 && reduced.strides == [1];
        match along_runs {
            true => self.lines(simd, combine, image, slice),
            false => self.columns(simd, combine, image, slice),
        }
        debug_assert!(along_runs || kept.strides == [1] || kept.extent == 0);
    }

    /// Reduces contiguous elements. Threads partition the results.
    #[inline(always)]
    fn lines<S: Simd, F: CombineScalars>(
        &self,
        simd: S,
        combine: F,
        image: &ImageIo<'_>,
        slice: WorkSlice,
    ) {
        let Reduce { kept, reduced, .. } = self;
        let (x, all) = (image.x.floats(0), image.y.floats);
        for i in slice.of(all.len()) {
            let [first] = kept.offsets_at(i);
            let mut partial = Accumulator::new(simd, combine);
            for run in 0..reduced.run_count() {
                let [offset] = reduced.run_offsets(run);
                partial.extend(&x[first + offset..][..reduced.extent]);
            }
            // SAFETY: the result is in this thread's work slice.
            #[allow(unsafe_code)]
            let y = unsafe { all.part(i..i + 1) };
            y[0] = self.finished(partial.finish());
        }
    }

    /// Reduces an outer axis, so that contiguous elements go to contiguous results. Threads
    /// partition groups of results.
    #[inline(always)]
    fn columns<S: Simd, F: CombineScalars>(
        &self,
        simd: S,
        combine: F,
        image: &ImageIo<'_>,
        slice: WorkSlice,
    ) {
        let Reduce { kept, reduced, .. } = self;
        let (x, all) = (image.x.floats(0), image.y.floats);
        let extent = kept.extent.max(1);
        let groups = extent.div_ceil(COLUMNS);
        for unit in slice.of(all.len() / extent * groups) {
            let (run, first) = (unit / groups, unit % groups * COLUMNS);
            let last = extent.min(first + COLUMNS);
            let start = kept.run_offsets(run)[0] + first;
            // SAFETY: the results are in this thread's work slice.
            #[allow(unsafe_code)]
            let y = unsafe { all.part(run * extent + first..run * extent + last) };
            let mut partial = Accumulator::new(simd, combine);
            for i in 0..reduced.run_count() {
                let first = start + reduced.run_offsets(i)[0];
                for k in 0..reduced.extent {
                    partial.extend(&x[first + k * reduced.strides[0]..][..y.len()]);
                }
            }
            y.copy_from_slice(&partial.columns()[..y.len()]);
            y.iter_mut().for_each(|y| *y = self.finished(*y));
        }
    }

    #[inline(always)]
    fn finished(&self, y: f32) -> f32 {
        match self.kind {
            ReduceKind::Mean => y / self.count as f32,
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

/// [`odin_graph::Op::Softmax`] and [`odin_graph::Op::LogSoftmax`]. The maximum is subtracted first
/// so that no exponential overflows.
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

impl SimdKernel for Softmax {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.lines.extent)
    }

    /// Threads partition the axes outside of the softmax axis.
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let (all, y) = (image.x.floats(0), &image.y);
        let line = &mut worker.scratch.floats.as_mut_slice()[..self.lines.extent];
        let Lines {
            outer,
            extent,
            inner,
        } = self.lines;
        let block = extent * inner;
        for o in worker.slice.of(outer) {
            let own = o * block..(o + 1) * block;
            // SAFETY: the block is in this thread's work slice.
            #[allow(unsafe_code)]
            let (x, y) = unsafe { (&all[own.clone()], y.floats.part(own)) };
            if inner == 1 {
                self.line(simd, x, y);
                continue;
            }
            for i in 0..inner {
                let entries = x[i..].iter().step_by(inner);
                line.iter_mut().zip(entries).for_each(|(l, &x)| *l = x);
                let entries = y[i..].iter_mut().step_by(inner);
                self.line_in_place(simd, line);
                entries.zip(&*line).for_each(|(y, &l)| *y = l);
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
        let mut largest = Accumulator::new(simd, Max);
        largest.extend(y);
        let largest = simd.splat(largest.finish());
        if self.logarithm {
            let mut sum = Accumulator::new(simd, Sum);
            for part in y.chunks(COLUMNS) {
                let mut powers = [0.0; COLUMNS];
                let powers = &mut powers[..part.len()];
                powers.copy_from_slice(part);
                map::<S, Exp>(simd, powers, largest);
                sum.extend(powers);
            }
            map::<S, Subtract>(simd, y, largest);
            return map::<S, Subtract>(simd, y, simd.splat(sum.finish().ln()));
        }
        map::<S, Exp>(simd, y, largest);
        let mut sum = Accumulator::new(simd, Sum);
        sum.extend(y);
        map::<S, Scale>(simd, y, simd.splat(1.0 / sum.finish()));
    }
}

/// A function of each element of a line and a number for the whole line. Not a closure, which the
/// compiler might not inline into the function that is compiled for the instruction set.
trait LineFunction {
    /// To be marked `#[inline(always)]`.
    fn of<S: Simd>(simd: S, x: S::Vector, number: S::Vector) -> S::Vector;
}

struct Exp;
struct Subtract;
struct Scale;

impl LineFunction for Exp {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::Vector, largest: S::Vector) -> S::Vector {
        math::exp(simd, simd.sub(x, largest))
    }
}

impl LineFunction for Subtract {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::Vector, number: S::Vector) -> S::Vector {
        simd.sub(x, number)
    }
}

impl LineFunction for Scale {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::Vector, number: S::Vector) -> S::Vector {
        simd.mul(x, number)
    }
}

/// Applies the function in place.
#[inline(always)]
fn map<S: Simd, F: LineFunction>(simd: S, y: &mut [f32], number: S::Vector) {
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

/// [`odin_graph::Op::ArgMax`]; NaN counts as the largest.
#[derive(Debug)]
pub(crate) struct ArgMax(Lines);

impl ArgMax {
    pub(crate) fn new(shape: &[usize], axis: usize) -> Self {
        Self(Lines::new(shape, axis))
    }
}

impl SerialKernel<i64> for ArgMax {
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

/// [`odin_graph::Op::TopK`]; NaN counts as the largest.
#[derive(Debug)]
pub(crate) struct TopK {
    lines: Lines,
    k: usize,
}

impl TopK {
    pub(crate) fn new(shape: &[usize], top: op::TopK) -> Self {
        Self {
            lines: Lines::new(shape, top.axis),
            k: top.k,
        }
    }
}

impl SerialKernel<f32> for TopK {
    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.lines.extent)
    }

    fn run(&self, x: &Operands<'_>, y: &mut [f32], scratch: &mut Scratch) {
        let (x, Lines { extent, inner, .. }) = (x.floats(0), self.lines);
        let line = &mut scratch.floats.as_mut_slice()[..extent];
        let descending = |a: &f32, b: &f32| b.is_nan().cmp(&a.is_nan()).then(b.total_cmp(a));
        for (i, start) in self.lines.starts().enumerate() {
            let values = self.lines.line(x, start);
            line.iter_mut().zip(values).for_each(|(l, v)| *l = v);
            let kept = match self.k {
                k if k < extent => line.select_nth_unstable_by(k, descending).0,
                _ => &mut *line,
            };
            kept.sort_unstable_by(descending);
            let first = i / inner * self.k * inner + i % inner;
            let places = y[first..].iter_mut().step_by(inner);
            places.zip(&*kept).for_each(|(y, &value)| *y = value);
        }
    }
}

/// [`odin_graph::Op::OneHot`].
#[derive(Debug)]
pub(crate) struct OneHot {
    pub(crate) depth: usize,
}

impl SerialKernel<f32> for OneHot {
    fn run(&self, x: &Operands<'_>, y: &mut [f32], _: &mut Scratch) {
        y.fill(0.0);
        for (y, &hot) in y.chunks_exact_mut(self.depth.max(1)).zip(x.ints(0)) {
            if let Some(y) = usize::try_from(hot).ok().and_then(|hot| y.get_mut(hot)) {
                *y = 1.0;
            }
        }
    }
}
