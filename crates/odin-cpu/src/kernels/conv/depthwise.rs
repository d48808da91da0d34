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

    fn buffer(&self) -> [usize; 3] {
        let line = 2 * self.row + 4 * MAX_LANES;
        [
            (self.phases() * self.phase).next_multiple_of(MAX_LANES),
            line.next_multiple_of(MAX_LANES),
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
        let [copy, line, sums] = self.buffer();
        let (copy, rest) = worker.scratch.floats.as_mut_slice().split_at_mut(copy);
        let (line, rest) = rest.split_at_mut(line);
        let sums = &mut rest[..sums];
        let (own, input) = (worker.slice.of(self.groups), self.inner * self.input());
        assert!(y.floats.len() == channels * plane);
        copy.iter_mut().for_each(|to| *to = 0.0);
        line.iter_mut().for_each(|to| *to = 0.0);
        for first in own.clone().step_by(self.groups_at_a_time()) {
            let groups = first..own.end.min(first + self.groups_at_a_time());
            for (group, sums) in groups.clone().zip(sums.chunks_exact_mut(outer * stride)) {
                let from = &x.floats(0)[group * input..][..input];
                self.copy(simd, from, copy, line);
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
    fn copy<S: Simd>(&self, simd: S, from: &[f32], copy: &mut [f32], line: &mut [f32]) {
        let plane = self.phases() / self.inner * self.phase;
        let own = from.chunks_exact(self.input());
        for (from, copy) in own.zip(copy.chunks_mut(plane)) {
            match self.columns.in_stride() {
                1 => self.copy_rows(simd, from, copy),
                _ => self.copy_deinterleaved(simd, from, copy, line),
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

    /// Deinterleaves rows of stride 2, through a padded row.
    #[inline(always)]
    fn copy_deinterleaved<S: Simd>(
        &self,
        simd: S,
        from: &[f32],
        copy: &mut [f32],
        buffer: &mut [f32],
    ) {
        let entries = self.columns.receptive_field(&(0..self.columns.output()));
        let (phases, both) = (self.columns.in_phases.len(), 2 * self.row);
        let padding = self.columns.padding(entries.start);
        let skipped = padding.min(0).unsigned_abs().min(self.columns.input());
        let start = padding.max(0).unsigned_abs().min(both);
        let len = (self.columns.input() - skipped).min(both - start);
        let vectors = self.row.div_ceil(S::LANES);
        assert!(2 * vectors * S::LANES <= buffer.len() && both <= buffer.len());
        for line in &self.row_copies {
            let to = &mut copy[line.to..][..(phases - 1) * self.phase + self.row];
            let from = &from[line.from + skipped..][..len];
            // SAFETY: the buffer holds twice as many elements as all vectors, and the padded row,
            // by the assertion; `to` holds a row of each phase.
            #[allow(unsafe_code)]
            unsafe {
                copy_forward(simd, from.as_ptr(), buffer.as_mut_ptr().add(start), len);
                for vector in 0..vectors {
                    let first = vector * S::LANES;
                    let from = buffer.as_ptr().add(2 * first);
                    let phases =
                        simd.deinterleave_all([simd.load(from), simd.load(from.add(S::LANES))]);
                    for (phase, &number) in self.columns.in_phases.iter().enumerate() {
                        let to = to.as_mut_ptr().add(phase * self.phase + first);
                        store_up_to(simd, self.row - first, to, phases[usize::from(number == 1)]);
                    }
                }
            }
        }
    }

    /// Computes an output channel.
    #[inline(always)]
    fn accumulate<S: Simd>(&self, simd: S, channel: usize, copy: &[f32], sums: &mut [f32]) {
        let rows = sums.chunks_exact_mut(self.columns.output());
        for (windows, to) in self.row_windows.iter().zip(rows) {
            let [first, second] = windows.map(|(window, first)| (&self.weights.0[window], first));
            match self.columns.out_stride() {
                1 => output_row::<S, 1>(simd, channel, copy, [first], to),
                _ => output_row::<S, 2>(simd, channel, copy, [first, second], to),
            }
        }
    }
}

/// An output row of `M` interleaved phases, each with its window's offset in the copy.
#[inline(always)]
fn output_row<S: Simd, const M: usize>(
    simd: S,
    channel: usize,
    copy: &[f32],
    windows: [(&PhaseWeights, usize); M],
    to: &mut [f32],
) {
    let vectors = to.len().div_ceil(M * S::LANES);
    let weights = windows.map(|(window, _)| {
        let count = window.offsets.len();
        &window.weights[channel * count..][..count]
    });
    for (window, first) in &windows {
        assert!(first + window.last_offset + vectors * S::LANES <= copy.len());
    }
    let mut vector = 0;
    while vector < vectors {
        let first = vector * S::LANES;
        let wide = vectors - vector >= WIDE;
        // SAFETY: reads end inside of the copy, by the assertion, and `to` holds the elements that
        // are written.
        #[allow(unsafe_code)]
        unsafe {
            let mut all = [[simd.splat(0.0); M]; WIDE];
            for (m, ((window, start), weights)) in windows.iter().zip(weights).enumerate() {
                let from = copy.as_ptr().add(start + first);
                match wide {
                    true => {
                        let sums = weighted_sum::<S, WIDE>(simd, from, &window.offsets, weights);
                        for (all, &sum) in all.iter_mut().zip(&sums) {
                            all[m] = sum;
                        }
                    }
                    false => {
                        all[0][m] = weighted_sum::<S, 1>(simd, from, &window.offsets, weights)[0]
                    }
                }
            }
            for &sums in all.iter().take(if wide { WIDE } else { 1 }) {
                let first = M * vector * S::LANES;
                for (part, &sum) in simd.interleave_all(sums).iter().enumerate() {
                    let first = first + part * S::LANES;
                    if first < to.len() {
                        store_up_to(simd, to.len() - first, to.as_mut_ptr().add(first), sum);
                    }
                }
                vector += 1;
            }
        }
    }
}

/// Vectors of a row that are computed at a time.
const WIDE: usize = 4;

/// `V` vectors: a weighted sum of the vectors at some offsets.
///
/// # Safety
/// They are valid for reading. There are as many weights as offsets.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn weighted_sum<S: Simd, const V: usize>(
    simd: S,
    from: *const f32,
    offsets: &[u32],
    weights: &[f32],
) -> [S::Vector; V] {
    let mut sums = [simd.splat(0.0); V];
    for (&offset, &weight) in offsets.iter().zip(weights) {
        let weight = simd.splat(weight);
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: by the contract.
            let x = unsafe { simd.load(from.add(offset as usize + v * S::LANES)) };
            *sum = simd.mul_add(weight, x, *sum);
        }
    }
    sums
}
