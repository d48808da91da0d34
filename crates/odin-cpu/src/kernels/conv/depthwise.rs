//! Depthwise convolutions of one or two axes, and others of very few channels per group, and their
//! adjoints, with constant weights.
//!
//! No matrix product is involved: each output row is a weighted sum of a few shifted rows of one
//! channel, or of very few. The channel is copied with its padding, deinterleaved by the stride;
//! vectors run along the rows.

use crate::kernels::conv::axis::Axis;
use crate::kernels::conv::op::ConvOp;
use crate::kernels::conv::rows::copy_forward;
use crate::kernels::epilogue::{Epilogue, Span, StridedPtr};
use crate::kernels::{ImageIo, SimdKernel, Worker};
use crate::memory::ScratchSize;
use crate::simd::{Isa, MAX_LANES, MAX_TILE_VECTORS, Simd, store_up_to};
use std::sync::Arc;

/// Groups of more channels than this are computed as matrix products.
const MAX_CHANNELS: usize = 3;
/// The number of elements computed before the epilogue is applied: half of a first-level cache.
const EPILOGUE_ELEMENTS: usize = 1 << 12;

/// A depthwise convolution, specialised to a shape.
pub(crate) struct Depthwise {
    isa: Isa,
    rows: Axis,
    columns: Axis,
    groups: usize,
    /// Input channels per group.
    inner: usize,
    /// Output channels per group.
    outer: usize,
    /// The length of a row of the copy, and of one phase of one channel.
    row: usize,
    phase: usize,
    /// The row copies of one channel.
    row_copies: Vec<RowCopy>,
    /// For each output row, and for each phase along it, the number of its window and where that
    /// begins in the copy.
    row_windows: Vec<[(usize, usize); 2]>,
    pub(crate) weights: Arc<DepthwiseWeights>,
    pub(crate) epilogue: Epilogue,
}

/// The copy of an input row: its offset in the channel, and its offset in the first column phase of
/// the copy.
struct RowCopy {
    from: usize,
    to: usize,
}

/// The weights per output phase, column phases innermost.
#[derive(Default)]
pub(crate) struct DepthwiseWeights(Vec<PhaseWeights>);

struct PhaseWeights {
    /// The offsets of the taps, from the position.
    offsets: Vec<u32>,
    last_offset: usize,
    /// For each output channel, one weight per tap.
    weights: Vec<f32>,
}

impl Depthwise {
    /// Shapes of one image, `[1, C, spatial...]`; `None` if groups have many channels, strides
    /// along rows exceed 2, or the image is too large.
    pub(crate) fn new(isa: Isa, op: &ConvOp, x: &[usize], y: &[usize]) -> Option<Self> {
        let (window, groups) = op.window();
        let [rows, columns] = match window.axes() {
            1 => [Axis::single(), op.axis(0, x, y)],
            2 => [op.axis(0, x, y), op.axis(1, x, y)],
            _ => return None,
        };
        let (inner, outer) = (x[1] / groups, y[1] / groups);
        let fits = groups > 1
            && inner.max(outer) <= MAX_CHANNELS
            && columns.in_stride() <= 2
            && columns.out_stride() <= 2
            && x.iter().chain(y).all(|&extent| extent > 0);
        if !fits {
            return None;
        }
        let row = columns.receptive_field(&(0..columns.output())).len();
        let lines = rows.receptive_field(&(0..rows.output())).len();
        let phase = lines
            .checked_mul(row)?
            .checked_add(2 * MAX_TILE_VECTORS * MAX_LANES)?;
        let mut depthwise = Self {
            isa,
            groups,
            inner,
            outer,
            row,
            phase,
            row_copies: Vec::new(),
            row_windows: Vec::new(),
            weights: Arc::default(),
            epilogue: Epilogue::default(),
            rows,
            columns,
        };
        // Offsets are stored in 32 bits.
        u32::try_from(depthwise.phases().checked_mul(phase)?).ok()?;
        depthwise.row_copies = depthwise.row_copies();
        depthwise.row_windows = depthwise.row_windows();
        Some(depthwise)
    }

    fn row_copies(&self) -> Vec<RowCopy> {
        let entries = self.rows.receptive_field(&(0..self.rows.output()));
        let mut lines = Vec::new();
        for phase in 0..self.rows.in_phases.len() {
            let (inside, first) = self.rows.unpadded(phase, &entries);
            let start = phase * self.columns.in_phases.len() * self.phase;
            for entry in inside.clone() {
                let row = first + (entry - inside.start) * self.rows.in_stride();
                lines.push(RowCopy {
                    from: row * self.columns.input(),
                    to: start + (entry - entries.start) * self.row,
                });
            }
        }
        lines
    }

    fn row_windows(&self) -> Vec<[(usize, usize); 2]> {
        let first_row = self.rows.receptive_field(&(0..self.rows.output())).start;
        let first_column = self
            .columns
            .receptive_field(&(0..self.columns.output()))
            .start;
        let window = |row: usize, column: usize| {
            let (row_phase, i) = self.rows.phase_of(row);
            let (column_phase, j) = self.columns.phase_of(column);
            let index = row_phase * self.columns.out_phases.len() + column_phase;
            (index, (i - first_row) * self.row + j - first_column)
        };
        let second = self.columns.out_stride() - 1;
        let rows = 0..self.rows.output();
        rows.map(|row| [window(row, 0), window(row, second)])
            .collect()
    }

    /// Groups the weights by output phase; `None` if memory is exhausted.
    pub(crate) fn pack(&self, op: &ConvOp, w: &[f32]) -> Option<DepthwiseWeights> {
        let entries: usize = op.window().0.kernel.iter().product();
        let width = op.window().0.kernel.last().copied().unwrap_or(1);
        let mut windows = Vec::new();
        for row in &self.rows.out_phases {
            for column in &self.columns.out_phases {
                let taps: Vec<(usize, usize)> = (row.taps.iter())
                    .flat_map(|r| column.taps.iter().map(move |c| (r, c)))
                    .map(|(r, c)| {
                        let phase = r.in_phase * self.columns.in_phases.len() + c.in_phase;
                        let offset = phase * self.phase + r.shift * self.row + c.shift;
                        (r.entry * width + c.entry, offset)
                    })
                    .collect();
                let plane = self.phases() / self.inner * self.phase;
                let offsets = (0..self.inner)
                    .flat_map(|channel| taps.iter().map(move |t| channel * plane + t.1));
                let offsets: Vec<u32> = offsets.map(|o| o as u32).collect();
                let mut weights = Vec::new();
                let channels = self.groups * self.outer;
                weights.try_reserve_exact(channels * offsets.len()).ok()?;
                for out in 0..channels {
                    let (group, own) = (out / self.outer, out % self.outer);
                    for channel in 0..self.inner {
                        let kernel = match op {
                            ConvOp::Forward(_) => out * self.inner + channel,
                            ConvOp::Adjoint(_) => (group * self.inner + channel) * self.outer + own,
                        };
                        weights.extend(taps.iter().map(|t| w[kernel * entries + t.0]));
                    }
                }
                windows.push(PhaseWeights {
                    last_offset: offsets.iter().max().map_or(0, |&o| o as usize),
                    offsets,
                    weights,
                });
            }
        }
        Some(DepthwiseWeights(windows))
    }

    /// Input phases of all channels of a group.
    fn phases(&self) -> usize {
        self.inner * self.rows.in_phases.len() * self.columns.in_phases.len()
    }

    fn input(&self) -> usize {
        self.rows.input() * self.columns.input()
    }

    fn output(&self) -> usize {
        self.rows.output() * self.columns.output()
    }

    /// The number of groups computed before the epilogue is applied.
    fn groups_at_a_time(&self) -> usize {
        (EPILOGUE_ELEMENTS / (self.outer * self.output())).clamp(1, self.groups)
    }

    /// The distance between channels of the accumulators.
    fn stride(&self) -> usize {
        self.output().next_multiple_of(MAX_LANES)
    }

    fn buffer(&self) -> [usize; 2] {
        [
            (self.phases() * self.phase).next_multiple_of(MAX_LANES),
            self.groups_at_a_time() * self.outer * self.stride(),
        ]
    }
}

impl SimdKernel for Depthwise {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.buffer().iter().sum())
    }

    /// Threads partition the groups.
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let ImageIo { x, y } = image;
        let (outer, plane, stride) = (self.outer, self.output(), self.stride());
        let channels = self.groups * outer;
        let epilogue = &self.epilogue;
        let epilogue = epilogue.bind(self.isa, x, y.epilogue_signs, [channels, plane]);
        let [copy, sums] = self.buffer();
        let (copy, rest) = worker.scratch.floats.as_mut_slice().split_at_mut(copy);
        let sums = &mut rest[..sums];
        let (own, input) = (worker.slice.of(self.groups), self.inner * self.input());
        assert!(y.floats.len() == channels * plane);
        copy.iter_mut().for_each(|to| *to = 0.0);
        for first in own.clone().step_by(self.groups_at_a_time()) {
            let groups = first..own.end.min(first + self.groups_at_a_time());
            for (group, sums) in groups.clone().zip(sums.chunks_exact_mut(outer * stride)) {
                let from = &x.floats(0)[group * input..][..input];
                self.copy(simd, from, copy);
                for (out, sums) in sums.chunks_exact_mut(stride).enumerate() {
                    self.accumulate(simd, group * outer + out, copy, sums);
                }
            }
            let span = Span {
                channels: groups.start * outer..groups.end * outer,
                first: 0,
                len: plane,
            };
            let start = span.channels.start * plane;
            // SAFETY: both hold the channels of the groups, by the assertion and the size of the
            // accumulators; the groups are in this thread's work slice.
            #[allow(unsafe_code)]
            unsafe {
                let from = StridedPtr::new(sums.as_ptr(), stride);
                let to = StridedPtr::new(y.floats.start().wrapping_add(start), plane);
                epilogue.apply(span, from, to);
            }
        }
    }
}

impl Depthwise {
    /// Copies the channels of a group, deinterleaved into phases. The padding is at the same place
    /// in every channel, so it stays 0 from one channel to the next.
    #[inline(always)]
    fn copy<S: Simd>(&self, simd: S, from: &[f32], copy: &mut [f32]) {
        let plane = self.phases() / self.inner * self.phase;
        let own = from.chunks_exact(self.input());
        for (from, copy) in own.zip(copy.chunks_mut(plane)) {
            match self.columns.in_stride() {
                1 => self.copy_rows(simd, from, copy),
                _ => self.copy_deinterleaved(simd, from, copy),
            }
        }
    }

    /// Copies rows of stride 1.
    #[inline(always)]
    fn copy_rows<S: Simd>(&self, simd: S, from: &[f32], copy: &mut [f32]) {
        let entries = self.columns.receptive_field(&(0..self.columns.output()));
        let (inside, element) = self.columns.unpadded(0, &entries);
        if inside.is_empty() {
            return;
        }
        for line in &self.row_copies {
            let to = &mut copy[line.to + inside.start - entries.start..][..inside.len()];
            let from = &from[line.from + element..][..inside.len()];
            // SAFETY: both hold the elements.
            #[allow(unsafe_code)]
            unsafe {
                copy_forward(simd, from.as_ptr(), to.as_mut_ptr(), to.len());
            }
        }
    }

    /// Deinterleaves rows of stride 2. What a vector reads beside the row is 0.
    #[inline(always)]
    fn copy_deinterleaved<S: Simd>(&self, simd: S, from: &[f32], copy: &mut [f32]) {
        let entries = self.columns.receptive_field(&(0..self.columns.output()));
        let padding = self.columns.padding(entries.start);
        let (phases, input) = (&self.columns.in_phases, self.columns.input());
        for line in &self.row_copies {
            let to = &mut copy[line.to..][..(phases.len() - 1) * self.phase + self.row];
            let from = &from[line.from..][..input];
            for first in (0..self.row).step_by(S::LANES) {
                let start = 2 * first as isize - padding;
                let both = [start, start + S::LANES as isize];
                // SAFETY: `to` holds a row of each phase.
                #[allow(unsafe_code)]
                unsafe {
                    let both = both.map(|start| load_inside(simd, from, start));
                    let split = simd.deinterleave_all(both);
                    for (phase, &number) in phases.iter().enumerate() {
                        let to = to.as_mut_ptr().add(phase * self.phase + first);
                        store_up_to(simd, self.row - first, to, split[usize::from(number == 1)]);
                    }
                }
            }
        }
    }

    /// Computes an output channel.
    #[inline(always)]
    fn accumulate<S: Simd>(&self, simd: S, channel: usize, copy: &[f32], sums: &mut [f32]) {
        match self.columns.out_stride() {
            1 => self.output_rows::<S, 1>(simd, channel, copy, sums),
            _ => self.output_rows::<S, 2>(simd, channel, copy, sums),
        }
    }

    /// The output rows of `M` interleaved phases. Those of one phase are computed some vectors at a time,
    /// across rows, so that their sums do not wait for each other.
    #[inline(always)]
    fn output_rows<S: Simd, const M: usize>(
        &self,
        simd: S,
        channel: usize,
        copy: &[f32],
        sums: &mut [f32],
    ) {
        let (step, width) = (self.rows.out_stride(), self.columns.output());
        let vectors = width.div_ceil(M * S::LANES);
        assert!(self.output() <= sums.len());
        for phase in 0..step.min(self.rows.output()) {
            let windows: [Taps<'_>; M] = std::array::from_fn(|m| {
                let window = &self.weights.0[self.row_windows[phase][m].0];
                window.of_channel(channel)
            });
            let reach = windows.iter().map(|window| window.last_offset);
            let reach = reach.max().unwrap_or(0) + vectors * S::LANES;
            let mut rows = self
                .row_windows
                .iter()
                .enumerate()
                .skip(phase)
                .step_by(step);
            let mut next = || {
                let (row, windows) = rows.next()?;
                let starts: [usize; M] = std::array::from_fn(|m| windows[m].1);
                assert!(starts.iter().all(|start| start + reach <= copy.len()));
                Some((row * width, starts))
            };
            let mut now = next();
            let mut vector = 0;
            while now.is_some() {
                let mut tile = Tile::<M>::default();
                while let Some((to, starts)) = now.filter(|_| tile.count < TALL) {
                    let done = vector * S::LANES;
                    tile.push(
                        starts.map(|start| start + done),
                        to + M * done,
                        width - M * done,
                    );
                    vector += 1;
                    if vector == vectors {
                        (vector, now) = (0, next());
                    }
                }
                // SAFETY: reads end inside of the copy, by the assertion, and rows inside of the sums.
                #[allow(unsafe_code)]
                unsafe {
                    match tile.count {
                        1 => tile.compute::<S, 1>(simd, copy, &windows, sums),
                        2 => tile.compute::<S, 2>(simd, copy, &windows, sums),
                        3 | 4 => tile.compute::<S, 4>(simd, copy, &windows, sums),
                        _ => tile.compute::<S, TALL>(simd, copy, &windows, sums),
                    }
                }
            }
        }
    }
}

/// Vectors that are computed at a time.
const TALL: usize = 8;

/// Vectors of output rows, each of `M` phases: where their windows begin in the copy, where they go, and
/// how many elements of the row are left there. Behind `count` the last one is repeated.
struct Tile<const M: usize> {
    count: usize,
    from: [[usize; M]; TALL],
    to: [usize; TALL],
    left: [usize; TALL],
}

impl<const M: usize> Default for Tile<M> {
    fn default() -> Self {
        Self {
            count: 0,
            from: [[0; M]; TALL],
            to: [0; TALL],
            left: [0; TALL],
        }
    }
}

impl<const M: usize> Tile<M> {
    #[inline(always)]
    fn push(&mut self, from: [usize; M], to: usize, left: usize) {
        let count = self.count;
        (self.from[count], self.to[count], self.left[count]) = (from, to, left);
        self.count += 1;
    }

    /// Computes the vectors, as `V`, at least as many.
    ///
    /// # Safety
    /// Reads of the windows end inside of the copy, and what is left of each row inside of `sums`.
    #[allow(unsafe_code)]
    #[inline(always)]
    unsafe fn compute<S: Simd, const V: usize>(
        &self,
        simd: S,
        copy: &[f32],
        windows: &[Taps<'_>; M],
        sums: &mut [f32],
    ) {
        let mut all = [[simd.splat(0.0); M]; V];
        for (m, window) in windows.iter().enumerate() {
            let from: [*const f32; V] = std::array::from_fn(|v| {
                let v = v.min(self.count - 1);
                copy.as_ptr().wrapping_add(self.from[v][m])
            });
            // SAFETY: by the contract.
            let own = unsafe { weighted_sums(simd, from, window) };
            for (all, own) in all.iter_mut().zip(own) {
                all[m] = own;
            }
        }
        for (v, &own) in all.iter().enumerate().take(self.count) {
            for (part, &sum) in simd.interleave_all(own).iter().enumerate() {
                let first = part * S::LANES;
                if first < self.left[v] {
                    // SAFETY: by the contract.
                    unsafe {
                        let to = sums.as_mut_ptr().add(self.to[v] + first);
                        store_up_to(simd, self.left[v] - first, to, sum);
                    }
                }
            }
        }
    }
}

/// The taps of a window for one output channel: as many weights as offsets.
#[derive(Clone, Copy)]
struct Taps<'a> {
    offsets: &'a [u32],
    weights: &'a [f32],
    last_offset: usize,
}

impl PhaseWeights {
    fn of_channel(&self, channel: usize) -> Taps<'_> {
        let count = self.offsets.len();
        Taps {
            offsets: &self.offsets,
            weights: &self.weights[channel * count..][..count],
            last_offset: self.last_offset,
        }
    }
}

/// `V` vectors: weighted sums of the vectors at some offsets from each pointer.
///
/// # Safety
/// They are valid for reading.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn weighted_sums<S: Simd, const V: usize>(
    simd: S,
    from: [*const f32; V],
    taps: &Taps<'_>,
) -> [S::Vector; V] {
    let mut sums = [simd.splat(0.0); V];
    for (&offset, &weight) in taps.offsets.iter().zip(taps.weights) {
        let weight = simd.splat(weight);
        for (sum, from) in sums.iter_mut().zip(from) {
            // SAFETY: by the contract.
            let x = unsafe { simd.load(from.add(offset as usize)) };
            *sum = simd.mul_add(weight, x, *sum);
        }
    }
    sums
}

/// The vector at an index that may lie outside of a row, where it is 0.
#[inline(always)]
fn load_inside<S: Simd>(simd: S, from: &[f32], start: isize) -> S::Vector {
    let (lanes, len) = (S::LANES as isize, from.len() as isize);
    let whole = start >= 0 && start + lanes <= len;
    let [before, inside] = [-start, len - start].map(|lane| lane.clamp(0, lanes) as u32);
    let bits = ((1_u32 << inside) - 1) & !((1_u32 << before) - 1);
    let from = from.as_ptr().wrapping_offset(start);
    // SAFETY: only elements of the row are read.
    #[allow(unsafe_code)]
    unsafe {
        match whole {
            true => simd.load(from),
            false => simd.load_where(bits as u16, from, simd.splat(0.0)),
        }
    }
}
