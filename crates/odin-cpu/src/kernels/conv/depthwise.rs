//! Convolutions of lines and planes in which each channel meets its own windows only, and their
//! adjoints, with known weights.
//!
//! There is no product of matrices in them: each row of the output is the sum of a few shifted
//! rows of one channel, or of very few. The channel is copied with its padding, taken apart where
//! strides skip elements; vectors run along the rows.

use crate::kernels::conv::axis::{Axis, Extent};
use crate::kernels::conv::op::ConvOp;
use crate::kernels::conv::rows::move_down;
use crate::kernels::epilogue::{Epilogue, Span, StridedPtr};
use crate::kernels::{ImageIo, SimdKernel, WorkSlice};
use crate::memory::{Scratch, ScratchSize};
use crate::simd::{Isa, MAX_LANES, MAX_TILE_VECTORS, Simd, store_up_to};
use std::sync::Arc;

/// More channels of a group than this are better multiplied as matrices.
const MAX_CHANNELS: usize = 3;
/// How many elements are computed before what comes after the convolution is done to them: half
/// of a first-level cache.
const EPILOGUE_ELEMENTS: usize = 1 << 12;

/// See the module.
pub(crate) struct Depthwise {
    isa: Isa,
    rows: Axis,
    columns: Axis,
    groups: usize,
    /// Channels read for each group.
    inner: usize,
    /// Channels written for each group.
    outer: usize,
    /// Entries of a row of the copy, and of one phase of one channel.
    row: usize,
    phase: usize,
    /// Of one channel.
    lines: Vec<RowCopy>,
    /// For each row of the output, and in turns along it, which of the windows it meets, and
    /// where the first one lies in the copy.
    met: Vec<[(usize, usize); 2]>,
    pub(crate) weights: Arc<DepthwiseWeights>,
    /// Applied to the sums.
    pub(crate) epilogue: Epilogue,
}

/// A row of a channel that is copied: where it begins, and the place that it goes to in the first
/// phase of columns.
struct RowCopy {
    from: usize,
    to: usize,
}

/// What the outputs meet, for each phase of rows and, within, of columns.
#[derive(Default)]
pub(crate) struct DepthwiseWeights(Vec<PhaseWeights>);

struct PhaseWeights {
    /// Where the elements are that a position meets, counted from it.
    offsets: Vec<u32>,
    last_offset: usize,
    /// For each channel of the output, as many weights.
    weights: Vec<f32>,
}

impl Depthwise {
    /// Shapes of one image, `[1, C, spatial...]`; `None` where groups have many channels, rows
    /// have strides above 2, or the image is too large.
    pub(crate) fn new(isa: Isa, kind: &ConvOp, x: &[usize], y: &[usize]) -> Option<Self> {
        let (window, groups) = kind.window();
        let extent = |axis: usize| Extent {
            kernel: window.kernel[axis],
            stride: window.strides[axis],
            dilation: window.dilations[axis],
            pad: window.pads_begin[axis],
            input: x[axis + 2],
            output: y[axis + 2],
        };
        let [rows, columns] = match window.axes() {
            1 => [kind.axis(Extent::SINGLE), kind.axis(extent(0))],
            2 => [kind.axis(extent(0)), kind.axis(extent(1))],
            _ => return None,
        };
        let (inner, outer) = (x[1] / groups, y[1] / groups);
        let fits = groups > 1
            && inner.max(outer) <= MAX_CHANNELS
            && columns.in_step() <= 2
            && columns.out_step() <= 2
            && x.iter().chain(y).all(|&extent| extent > 0);
        if !fits {
            return None;
        }
        let row = columns.entries(&(0..columns.output())).len();
        let lines = rows.entries(&(0..rows.output())).len();
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
            lines: Vec::new(),
            met: Vec::new(),
            weights: Arc::default(),
            epilogue: Epilogue::default(),
            rows,
            columns,
        };
        // Offsets are stored in 32 bits.
        u32::try_from(depthwise.phases().checked_mul(phase)?).ok()?;
        depthwise.lines = depthwise.lines();
        depthwise.met = depthwise.met();
        Some(depthwise)
    }

    fn lines(&self) -> Vec<RowCopy> {
        let entries = self.rows.entries(&(0..self.rows.output()));
        let mut lines = Vec::new();
        for phase in 0..self.rows.in_phases.len() {
            let (inside, first) = self.rows.inside(phase, &entries);
            let start = phase * self.columns.in_phases.len() * self.phase;
            for entry in inside.clone() {
                let row = first + (entry - inside.start) * self.rows.in_step();
                lines.push(RowCopy {
                    from: row * self.columns.input(),
                    to: start + (entry - entries.start) * self.row,
                });
            }
        }
        lines
    }

    fn met(&self) -> Vec<[(usize, usize); 2]> {
        let first_row = self.rows.entries(&(0..self.rows.output())).start;
        let first_column = self.columns.entries(&(0..self.columns.output())).start;
        let met = |row: usize, column: usize| {
            let (row_phase, i) = self.rows.meets(row);
            let (column_phase, j) = self.columns.meets(column);
            let window = row_phase * self.columns.out_phases.len() + column_phase;
            (window, (i - first_row) * self.row + j - first_column)
        };
        let second = self.columns.out_step() - 1;
        let rows = 0..self.rows.output();
        rows.map(|row| [met(row, 0), met(row, second)]).collect()
    }

    /// Sorts the weights by phases; `None` if there is no memory for them.
    pub(crate) fn pack(&self, kind: &ConvOp, w: &[f32]) -> Option<DepthwiseWeights> {
        let entries: usize = kind.window().0.kernel.iter().product();
        let width = kind.window().0.kernel.last().copied().unwrap_or(1);
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
                        let kernel = match kind {
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

    /// Phases of all channels of a group.
    fn phases(&self) -> usize {
        self.inner * self.rows.in_phases.len() * self.columns.in_phases.len()
    }

    fn input(&self) -> usize {
        self.rows.input() * self.columns.input()
    }

    fn output(&self) -> usize {
        self.rows.output() * self.columns.output()
    }

    /// How many groups are computed before what comes after is done.
    fn at_a_time(&self) -> usize {
        (EPILOGUE_ELEMENTS / (self.outer * self.output())).clamp(1, self.groups)
    }

    /// Elements of a channel of the sums.
    fn stride(&self) -> usize {
        self.output().next_multiple_of(MAX_LANES)
    }

    fn buffer(&self) -> [usize; 3] {
        let line = 2 * self.row + 4 * MAX_LANES;
        [
            (self.phases() * self.phase).next_multiple_of(MAX_LANES),
            line.next_multiple_of(MAX_LANES),
            self.at_a_time() * self.outer * self.stride(),
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

    /// Threads share the groups.
    #[inline(always)]
    fn run_image<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        let ImageIo { x, y } = image;
        let (outer, plane, stride) = (self.outer, self.output(), self.stride());
        let channels = self.groups * outer;
        let after = &self.epilogue;
        let after = after.bind(self.isa, x, y.epilogue_signs, [channels, plane]);
        let [copy, line, sums] = self.buffer();
        let (copy, rest) = scratch.floats.as_mut_slice().split_at_mut(copy);
        let (line, rest) = rest.split_at_mut(line);
        let sums = &mut rest[..sums];
        let (own, input) = (slice.of(self.groups), self.inner * self.input());
        assert!(y.floats.len() == channels * plane);
        copy.iter_mut().for_each(|to| *to = 0.0);
        line.iter_mut().for_each(|to| *to = 0.0);
        for first in own.clone().step_by(self.at_a_time()) {
            let groups = first..own.end.min(first + self.at_a_time());
            for (group, sums) in groups.clone().zip(sums.chunks_exact_mut(outer * stride)) {
                let from = &x.floats(0)[group * input..][..input];
                self.copy(simd, from, copy, line);
                for (out, sums) in sums.chunks_exact_mut(stride).enumerate() {
                    self.sum(simd, group * outer + out, copy, sums);
                }
            }
            let runs = Span {
                channels: groups.start * outer..groups.end * outer,
                first: 0,
                len: plane,
            };
            let start = runs.channels.start * plane;
            // SAFETY: both hold the channels of the groups, by the assertion and because there
            // are sums for so many; the groups are this thread's own.
            #[allow(unsafe_code)]
            unsafe {
                let from = StridedPtr::new(sums.as_ptr(), stride);
                let to = StridedPtr::new(y.floats.start().wrapping_add(start), plane);
                after.apply(runs, from, to);
            }
        }
    }
}

impl Depthwise {
    /// Copies the channels of a group, taken apart into phases. What is padding in the copy of one
    /// channel is so in those of all others: there it is 0 and stays so.
    #[inline(always)]
    fn copy<S: Simd>(&self, simd: S, from: &[f32], copy: &mut [f32], line: &mut [f32]) {
        let plane = self.phases() / self.inner * self.phase;
        let own = from.chunks_exact(self.input());
        for (from, copy) in own.zip(copy.chunks_mut(plane)) {
            match self.columns.in_step() {
                1 => self.copy_rows(simd, from, copy),
                _ => self.copy_deinterleaved(simd, from, copy, line),
            }
        }
    }

    /// Where rows are copied as they are.
    #[inline(always)]
    fn copy_rows<S: Simd>(&self, simd: S, from: &[f32], copy: &mut [f32]) {
        let entries = self.columns.entries(&(0..self.columns.output()));
        let (inside, element) = self.columns.inside(0, &entries);
        if inside.is_empty() {
            return;
        }
        for line in &self.lines {
            let to = &mut copy[line.to + inside.start - entries.start..][..inside.len()];
            let from = &from[line.from + element..][..inside.len()];
            // SAFETY: both hold the elements.
            #[allow(unsafe_code)]
            unsafe {
                move_down(simd, from.as_ptr(), to.as_mut_ptr(), to.len());
            }
        }
    }

    /// Where every second element goes to another phase, by way of a padded row.
    #[inline(always)]
    fn copy_deinterleaved<S: Simd>(
        &self,
        simd: S,
        from: &[f32],
        copy: &mut [f32],
        buffer: &mut [f32],
    ) {
        let entries = self.columns.entries(&(0..self.columns.output()));
        let (phases, both) = (self.columns.in_phases.len(), 2 * self.row);
        let padding = self.columns.padding(entries.start);
        let skipped = padding.min(0).unsigned_abs().min(self.columns.input());
        let start = padding.max(0).unsigned_abs().min(both);
        let len = (self.columns.input() - skipped).min(both - start);
        let vectors = self.row.div_ceil(S::LANES);
        assert!(2 * vectors * S::LANES <= buffer.len() && both <= buffer.len());
        for line in &self.lines {
            let to = &mut copy[line.to..][..(phases - 1) * self.phase + self.row];
            let from = &from[line.from + skipped..][..len];
            // SAFETY: the buffer holds twice as many elements as all vectors, and the padded row, by
            // the assertion; `to` holds a row of each phase.
            #[allow(unsafe_code)]
            unsafe {
                move_down(simd, from.as_ptr(), buffer.as_mut_ptr().add(start), len);
                for vector in 0..vectors {
                    let first = vector * S::LANES;
                    let from = buffer.as_ptr().add(2 * first);
                    let apart =
                        simd.deinterleave_all([simd.load(from), simd.load(from.add(S::LANES))]);
                    for (phase, &number) in self.columns.in_phases.iter().enumerate() {
                        let to = to.as_mut_ptr().add(phase * self.phase + first);
                        store_up_to(simd, self.row - first, to, apart[usize::from(number == 1)]);
                    }
                }
            }
        }
    }

    /// Sums what the outputs of a channel meet.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, channel: usize, copy: &[f32], sums: &mut [f32]) {
        let rows = sums.chunks_exact_mut(self.columns.output());
        for (met, to) in self.met.iter().zip(rows) {
            let [first, second] = met.map(|(window, first)| (&self.weights.0[window], first));
            match self.columns.out_step() {
                1 => output_row::<S, 1>(simd, channel, copy, [first], to),
                _ => output_row::<S, 2>(simd, channel, copy, [first, second], to),
            }
        }
    }
}

/// A row of the output; `M` windows take turns, each beginning at a place in the copy.
#[inline(always)]
fn output_row<S: Simd, const M: usize>(
    simd: S,
    channel: usize,
    copy: &[f32],
    windows: [(&PhaseWeights, usize); M],
    to: &mut [f32],
) {
    let vectors = to.len().div_ceil(M * S::LANES);
    let weights = windows.map(|(met, _)| {
        let count = met.offsets.len();
        &met.weights[channel * count..][..count]
    });
    for (met, first) in &windows {
        assert!(first + met.last_offset + vectors * S::LANES <= copy.len());
    }
    let mut vector = 0;
    while vector < vectors {
        let first = vector * S::LANES;
        let wide = vectors - vector >= WIDE;
        // SAFETY: what is read ends inside of the copy, by the assertion, and `to` holds the
        // elements that are written.
        #[allow(unsafe_code)]
        unsafe {
            let mut all = [[simd.splat(0.0); M]; WIDE];
            for (m, ((met, start), weights)) in windows.iter().zip(weights).enumerate() {
                let from = copy.as_ptr().add(start + first);
                match wide {
                    true => {
                        let sums = weighted_sum::<S, WIDE>(simd, from, &met.offsets, weights);
                        for (all, &sum) in all.iter_mut().zip(&sums) {
                            all[m] = sum;
                        }
                    }
                    false => all[0][m] = weighted_sum::<S, 1>(simd, from, &met.offsets, weights)[0],
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

/// How many vectors of a row are computed at a time.
const WIDE: usize = 4;

/// `V` vectors, each the sum of weighted ones at some offsets.
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
