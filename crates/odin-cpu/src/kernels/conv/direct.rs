//! Convolutions of lines and planes with known weights, and their adjoints.
//!
//! The output is computed strip by strip, a strip being some neighbouring rows of it. The part of
//! the input that a strip meets is copied with its padding; then each tile of weights is
//! multiplied with it, while its part of the output is brought nearer, and what comes after the
//! convolution is done while the sums are still in the cache.

use crate::kernels::conv::axis::{Axis, Extent};
use crate::kernels::conv::op::ConvOp;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::packing::{PackedMatrix, tiles};
use crate::kernels::gemm::prefetch;
use crate::simd::{Isa, MAX_LANES};
use std::sync::Arc;

mod strip;

/// How many elements of the padded copy of the input a strip should meet: 512 KiB, a part of a
/// second-level cache.
const COPY: usize = 1 << 17;
/// How many sums of a strip a tile should have: 24 KiB, half of a first-level cache.
const SUMS: usize = 6 << 10;

/// See the module.
pub(crate) struct Conv {
    isa: Isa,
    rows: Axis,
    columns: Axis,
    groups: usize,
    /// Channels read for each group.
    inner: usize,
    /// Channels written for each group.
    outer: usize,
    /// Entries of a row of the padded copy, and of one phase of one channel.
    row: usize,
    plane: usize,
    /// Rows of a strip.
    strip: usize,
    /// For each phase of the output, row phases outermost.
    pub(crate) phases: Arc<Vec<Phase>>,
    /// The cache lines of a strip in the channels of a tile.
    lines: Vec<u32>,
    /// Applied to the sums.
    pub(crate) epilogue: Epilogue,
}

/// The products that give one phase of the output.
pub(crate) struct Phase {
    row: usize,
    column: usize,
    /// For each group.
    weights: Vec<PackedMatrix>,
    /// For each channel and contributing window entry, where its row begins in the copy.
    offsets: Vec<u32>,
    last_offset: usize,
}

impl Phase {
    /// Whether no window entry contributes: all sums are 0.
    fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }
}

impl Conv {
    /// Shapes of one image, `[1, C, spatial...]`, of one or two spatial axes; `None` where there
    /// are more, or the image is too large.
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
            // A line is cut into strips as rows are.
            1 => [kind.axis(extent(0)), kind.axis(Extent::SINGLE)],
            2 => [kind.axis(extent(0)), kind.axis(extent(1))],
            _ => return None,
        };
        let mut conv = Self {
            isa,
            groups,
            inner: x[1] / groups,
            outer: y[1] / groups,
            row: columns.entries(&(0..columns.output())).len(),
            plane: 0,
            strip: 0,
            phases: Arc::default(),
            lines: Vec::new(),
            epilogue: Epilogue::default(),
            rows,
            columns,
        };
        conv.strip = conv.rows_per_strip();
        conv.plane = conv.plane_of(conv.strip)?;
        let [_, plane] = conv.planes();
        let positions = plane.min(conv.strip * conv.columns.output());
        conv.lines = prefetch::cache_lines(conv.height(), plane, positions);
        // Offsets are stored in 32 bits.
        let copy = conv.copied_planes().checked_mul(conv.plane)?;
        u32::try_from(copy).ok()?;
        Some(conv)
    }

    /// Whether rows have one entry, and neighbouring ones meet neighbouring elements.
    fn is_line(&self) -> bool {
        self.columns.is_identity() && self.columns.output() == 1 && self.rows.in_step() == 1
    }

    /// Elements of a channel of the input and of the output.
    fn planes(&self) -> [usize; 2] {
        [
            self.rows.input() * self.columns.input(),
            self.rows.output() * self.columns.output(),
        ]
    }

    fn in_phases(&self) -> usize {
        self.rows.in_phases.len() * self.columns.in_phases.len()
    }

    /// Of one group.
    fn copied_planes(&self) -> usize {
        self.inner * self.in_phases()
    }

    /// The length of a plane that has room for the rows that a strip meets, in an odd number of
    /// cache lines, so that planes do not compete for the same places in a cache.
    fn plane_of(&self, strip: usize) -> Option<usize> {
        let lines = self
            .rows_met(strip)
            .checked_mul(self.row)?
            .div_ceil(MAX_LANES);
        Some((lines | 1) * MAX_LANES)
    }

    /// The most rows of the copy that `strip` output rows may meet.
    fn rows_met(&self, strip: usize) -> usize {
        let met = |first: usize| {
            let end = (first + strip).min(self.rows.output());
            self.rows.entries(&(first..end)).len()
        };
        // Strips begin at any row.
        let starts = 0..self.rows.output().min(self.rows.out_step());
        starts.map(met).max().unwrap_or(0).max(met(0))
    }

    /// How many rows make whole groups of signs.
    fn grain(&self) -> usize {
        let width = self.columns.output().max(1);
        let common = (1..=MAX_LANES)
            .rev()
            .find(|&d| MAX_LANES.is_multiple_of(d) && width.is_multiple_of(d));
        MAX_LANES / common.unwrap_or(1)
    }

    fn rows_per_strip(&self) -> usize {
        let grain = self.grain();
        let fits = |rows: usize| {
            let copy = self
                .plane_of(rows)
                .map(|plane| plane.saturating_mul(self.copied_planes()));
            copy.is_some_and(|copy| copy <= COPY)
                && rows * self.columns.output() * self.height() <= SUMS
        };
        let all = self.rows.output().max(1).next_multiple_of(grain);
        let mut rows = grain;
        while rows < all && fits(rows + grain) {
            rows += grain;
        }
        rows
    }

    /// Packs the weights; `None` if there is no memory for them.
    pub(crate) fn pack(&self, kind: &ConvOp, w: &[f32]) -> Option<Vec<Phase>> {
        let entries = self.entries_of(kind);
        let mut phases = Vec::new();
        for (row, by_row) in self.rows.out_phases.iter().enumerate() {
            for (column, by_column) in self.columns.out_phases.iter().enumerate() {
                let mut taps = Vec::new();
                for r in &by_row.taps {
                    for c in &by_column.taps {
                        let in_phase = r.in_phase * self.columns.in_phases.len() + c.in_phase;
                        let entry = r.entry * entries[1] + c.entry;
                        taps.push((entry, in_phase, r.shift * self.row + c.shift));
                    }
                }
                let mut offsets = Vec::new();
                for channel in 0..self.inner {
                    for &(_, in_phase, shift) in &taps {
                        let plane = channel * self.in_phases() + in_phase;
                        offsets.push((plane * self.plane + shift) as u32);
                    }
                }
                let weight = |group: usize, out: usize, k: usize| {
                    let (channel, (entry, ..)) = (k / taps.len(), taps[k % taps.len()]);
                    let kernel = match kind {
                        ConvOp::Forward(_) => (group * self.outer + out) * self.inner + channel,
                        ConvOp::Adjoint(_) => (group * self.inner + channel) * self.outer + out,
                    };
                    w[kernel * entries[0] * entries[1] + entry]
                };
                let pack = |group| {
                    PackedMatrix::new(self.isa, self.outer, offsets.len(), |out, k| {
                        weight(group, out, k)
                    })
                };
                phases.push(Phase {
                    row,
                    column,
                    weights: (0..self.groups).map(pack).collect::<Option<_>>()?,
                    last_offset: offsets.iter().max().map_or(0, |&o| o as usize),
                    offsets,
                });
            }
        }
        Some(phases)
    }

    fn entries_of(&self, kind: &ConvOp) -> [usize; 2] {
        match kind.window().0.kernel[..] {
            [rows] => [rows, 1],
            [rows, columns, ..] => [rows, columns],
            [] => [1, 1],
        }
    }

    /// Positions of a strip rounded up to whole vectors, with the entries of padding between rows.
    fn stride(&self) -> usize {
        let sums = self.strip.max(1) * self.row.max(self.columns.output());
        sums.next_multiple_of(MAX_LANES)
    }

    fn copy_len(&self) -> usize {
        // The last vector may reach beyond the last plane.
        let reach = self.row + 2 * MAX_LANES;
        (self.copied_planes() * self.plane + reach).next_multiple_of(MAX_LANES)
    }

    fn height(&self) -> usize {
        tiles(self.isa, self.outer, 0)
            .iter()
            .map(|t| t.height)
            .max()
            .unwrap_or(0)
    }
}
