//! Convolutions of lines and planes with known weights, and their adjoints.
//!
//! The output is computed strip by strip, a strip being some neighbouring rows of it. The part of
//! the input that a strip meets is copied with its padding; then each tile of weights is
//! multiplied with it, while its part of the output is brought nearer, and what comes after the
//! convolution is done while the sums are still in the cache.

use super::axis::{Axis, Extent};
use super::{ScratchSize, Share, Shared, Written};
use crate::pointwise::{Bound, Pointwise, Runs, Strided};
use crate::product::{Columns, Packed, Tile, Wanted, lines, multiply, tiles};
use crate::simd::{Isa, LONGEST, Simd, Work, load_up_to, store_up_to};
use crate::workspace::{Operands, Out, Scratch};
use odin_graph::op::{self, Window};
use std::ops::Range;
use std::sync::Arc;

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
    phases: Arc<[Phase]>,
    /// The cache lines of a strip in the channels of a tile.
    lines: Vec<u32>,
    /// Applied to the sums.
    pub(crate) after: Pointwise,
}

/// The products that give one phase of the output.
pub(crate) struct Phase {
    row: usize,
    column: usize,
    /// For each group.
    weights: Vec<Packed>,
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

/// A convolution or its adjoint, as the graph has it.
pub(crate) enum Kind {
    Conv(op::Conv),
    Adjoint(op::ConvTranspose),
}

impl Kind {
    pub(super) fn window(&self) -> (&Window, usize) {
        match self {
            Kind::Conv(conv) => (&conv.window, conv.groups),
            Kind::Adjoint(conv) => (&conv.window, conv.groups),
        }
    }

    pub(super) fn axis(&self, extent: Extent) -> Axis {
        match self {
            Kind::Conv(_) => Axis::conv(extent),
            Kind::Adjoint(_) => Axis::adjoint(extent),
        }
    }
}

impl Conv {
    /// Shapes of one image, `[1, C, spatial...]`, of one or two spatial axes; `None` where there
    /// are more, or the image is too large.
    pub(crate) fn new(isa: Isa, kind: &Kind, x: &[usize], y: &[usize]) -> Option<Self> {
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
            phases: Arc::new([]),
            lines: Vec::new(),
            after: Pointwise::default(),
            rows,
            columns,
        };
        conv.strip = conv.rows_per_strip();
        conv.plane = conv.plane_of(conv.strip)?;
        let [_, plane] = conv.planes();
        let positions = plane.min(conv.strip * conv.columns.output());
        conv.lines = lines(conv.height(), plane, positions);
        // Offsets are stored in 32 bits.
        let copy = conv.copied_planes().checked_mul(conv.plane)?;
        u32::try_from(copy).ok()?;
        Some(conv)
    }

    /// With weights that [`Conv::pack`] has packed.
    pub(crate) fn with(mut self, phases: Arc<[Phase]>) -> Self {
        self.phases = phases;
        self
    }

    /// Whether rows have one entry, and neighbouring ones meet neighbouring elements.
    fn is_line(&self) -> bool {
        self.columns.is_identity() && self.columns.output() == 1 && self.rows.in_step() == 1
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
            .div_ceil(LONGEST);
        Some((lines | 1) * LONGEST)
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
        let common = (1..=LONGEST)
            .rev()
            .find(|&d| LONGEST.is_multiple_of(d) && width.is_multiple_of(d));
        LONGEST / common.unwrap_or(1)
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
    pub(crate) fn pack(&self, kind: &Kind, w: &[f32]) -> Option<Vec<Phase>> {
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
                        Kind::Conv(_) => (group * self.outer + out) * self.inner + channel,
                        Kind::Adjoint(_) => (group * self.inner + channel) * self.outer + out,
                    };
                    w[kernel * entries[0] * entries[1] + entry]
                };
                let pack = |group| {
                    Packed::new(self.isa, self.outer, offsets.len(), |out, k| {
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

    fn entries_of(&self, kind: &Kind) -> [usize; 2] {
        match kind.window().0.kernel[..] {
            [rows] => [rows, 1],
            [rows, columns, ..] => [rows, columns],
            [] => [1, 1],
        }
    }

    /// Positions of a strip rounded up to whole vectors, with the entries of padding between rows.
    fn stride(&self) -> usize {
        let sums = self.strip.max(1) * self.row.max(self.columns.output());
        sums.next_multiple_of(LONGEST)
    }

    fn copy_len(&self) -> usize {
        // The last vector may reach beyond the last plane.
        let reach = self.row + 2 * LONGEST;
        (self.copied_planes() * self.plane + reach).next_multiple_of(LONGEST)
    }

    fn height(&self) -> usize {
        tiles(self.isa, self.outer, 0)
            .iter()
            .map(|t| t.height)
            .max()
            .unwrap_or(0)
    }
}

impl Shared for Conv {
    fn run(&self, x: &Operands<'_>, y: Written<'_>, scratch: &mut Scratch, share: Share) {
        let job = Job {
            conv: self,
            x,
            y,
            share,
            scratch: &mut scratch.floats.as_mut_slice()[..],
        };
        self.isa.run(job);
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: self.copy_len() + 2 * self.height() * self.stride(),
            indices: 0,
        }
    }
}

/// A share of a convolution.
struct Job<'a> {
    conv: &'a Conv,
    x: &'a Operands<'a>,
    y: Written<'a>,
    share: Share,
    scratch: &'a mut [f32],
}

impl Work for Job<'_> {
    type Output = ();

    /// Threads share the rows where there are enough, else the groups, else the channels of the
    /// output.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (conv, share) = (self.conv, self.share);
        let (rows, grain) = (conv.rows.output(), conv.grain());
        let grains = rows.div_ceil(grain);
        let by_rows = grains >= 4 * share.count || grains.is_multiple_of(share.count);
        let [own_rows, own_groups, by_channel] = match (by_rows, conv.groups >= share.count) {
            (true, _) => [share, Share::WHOLE, Share::WHOLE],
            (false, true) => [Share::WHOLE, share, Share::WHOLE],
            (false, false) => [Share::WHOLE, Share::WHOLE, share],
        };
        let own = own_rows.of(grains);
        let rows = (own.start * grain).min(rows)..(own.end * grain).min(rows);
        let [inputs, outputs] = conv.planes();
        let after = conv.after.bind(
            conv.isa,
            self.x,
            self.y.after,
            [conv.outer * conv.groups, outputs],
        );
        let (copy, rest) = self.scratch.split_at_mut(conv.copy_len());
        let (sums, apart) = rest.split_at_mut(conv.height() * conv.stride());
        for first in rows.clone().step_by(conv.strip) {
            let strip = conv.strip(first..rows.end.min(first + conv.strip), by_channel);
            for group in own_groups.of(conv.groups) {
                let from = &self.x.floats(0)[group * conv.inner * inputs..][..conv.inner * inputs];
                conv.copy_padded(simd, from, &strip, copy);
                conv.multiply_tiles(
                    simd,
                    &strip,
                    group,
                    copy,
                    sums,
                    apart,
                    &after,
                    self.y.floats,
                );
            }
        }
    }
}

/// Some rows of the output, and what they meet in every channel.
struct Strip {
    rows: Range<usize>,
    /// Which of the channels of a group are this thread's.
    by_channel: Share,
    /// How many rows of the copy are met.
    met: usize,
    /// For each phase of the input, where it lies in the copy.
    inside: Vec<Inside>,
    /// For each phase of the output.
    positions: Vec<Positions>,
}

/// The entries of a phase of the input that do not lie in the padding.
struct Inside {
    rows: Range<usize>,
    columns: Range<usize>,
    /// The input line of the first row, and the element of the first column.
    line: usize,
    element: usize,
}

/// The positions of a phase of the output.
struct Positions {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Where the first one lies in the copy.
    first: usize,
}

impl Conv {
    /// Elements of a channel of the input and of the output.
    fn planes(&self) -> [usize; 2] {
        [
            self.rows.input() * self.columns.input(),
            self.rows.output() * self.columns.output(),
        ]
    }

    fn strip(&self, rows: Range<usize>, by_channel: Share) -> Strip {
        let all = 0..self.columns.output();
        let (lines, columns) = (self.rows.entries(&rows), self.columns.entries(&all));
        let mut inside = Vec::new();
        for row in 0..self.rows.in_phases.len() {
            for column in 0..self.columns.in_phases.len() {
                let (own_rows, line) = self.rows.inside(row, &lines);
                let (own_columns, element) = self.columns.inside(column, &columns);
                inside.push(Inside {
                    rows: own_rows.start - lines.start..own_rows.end - lines.start,
                    columns: own_columns.start - columns.start..own_columns.end - columns.start,
                    line,
                    element,
                });
            }
        }
        let positions = |phase: &Phase| {
            let row = &self.rows.out_phases[phase.row];
            let column = &self.columns.out_phases[phase.column];
            let own_rows = self.rows.positions(row, &rows);
            let own_columns = self.columns.positions(column, &all);
            let first_row = own_rows.start.saturating_sub(lines.start);
            let first_column = own_columns.start.saturating_sub(columns.start);
            Positions {
                first: first_row * self.row + first_column,
                rows: own_rows,
                columns: own_columns,
            }
        };
        Strip {
            positions: self.phases.iter().map(positions).collect(),
            met: lines.len(),
            rows,
            by_channel,
            inside,
        }
    }

    /// Copies what a strip meets, with the padding around it.
    #[inline(always)]
    fn copy_padded<S: Simd>(&self, simd: S, from: &[f32], strip: &Strip, copy: &mut [f32]) {
        let (size, phases) = (self.planes()[0], strip.inside.len());
        let step = self.columns.in_step();
        for (phase, inside) in strip.inside.iter().enumerate() {
            let Inside { rows, columns, .. } = inside;
            for channel in 0..self.inner {
                let from = &from[channel * size..][..size];
                let to = &mut copy[(channel * phases + phase) * self.plane..];
                let to = &mut to[..strip.met * self.row];
                if columns.is_empty() || rows.is_empty() {
                    to.fill(0.0);
                    continue;
                }
                to[..rows.start * self.row].fill(0.0);
                to[rows.end * self.row..].fill(0.0);
                let to = &mut to[rows.start * self.row..rows.end * self.row];
                if self.is_line() {
                    to.copy_from_slice(&from[inside.line..][..rows.len()]);
                    continue;
                }
                for (i, to) in to.chunks_exact_mut(self.row).enumerate() {
                    let line = inside.line + i * self.rows.in_step();
                    let from = &from[line * self.columns.input() + inside.element..];
                    let from = &from[..(columns.len() - 1) * step + 1];
                    copy_row(simd, from, step, columns, to);
                }
            }
        }
    }

    /// Multiplies each tile of weights with the copy, and finishes its rows of the output.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn multiply_tiles<S: Simd>(
        &self,
        simd: S,
        strip: &Strip,
        group: usize,
        copy: &[f32],
        sums: &mut [f32],
        apart: &mut [f32],
        after: &Bound<'_>,
        y: Out<'_, f32>,
    ) {
        let (width, plane) = (self.columns.output(), self.planes()[1]);
        let all = self.phases[0].weights[group].tiles();
        for index in strip.by_channel.of(all.len()) {
            let tile = all[index];
            let channel = group * self.outer + tile.row;
            let runs = Runs {
                channels: channel..channel + tile.height,
                first: strip.rows.start * width,
                len: strip.rows.len() * width,
            };
            let start = channel * plane + runs.first;
            let wanted = |x: *const f32| Wanted {
                start: x.wrapping_add(start),
                lines: &self.lines,
            };
            let addend = after
                .addend()
                .map_or(Wanted::NOTHING, |x| wanted(x.as_ptr()));
            let soon = [wanted(y.start()), addend, Wanted::NOTHING];
            let dense: &[f32] = match &self.phases[..] {
                [phase] => {
                    let (weights, positions) = (&phase.weights[group], &strip.positions[0]);
                    self.multiply(simd, phase, weights, tile, positions, copy, sums, soon);
                    self.close_ranks(simd, tile, strip.rows.len(), sums);
                    sums
                }
                phases => {
                    if phases.iter().any(Phase::is_empty) {
                        apart[..tile.height * self.stride()].fill(0.0);
                    }
                    let all = phases.iter().zip(&strip.positions);
                    for (phase, positions) in all.filter(|(phase, _)| !phase.is_empty()) {
                        let weights = &phase.weights[group];
                        let tile = weights.tiles()[index];
                        self.multiply(simd, phase, weights, tile, positions, copy, sums, soon);
                        self.interleave(
                            simd,
                            phase,
                            positions,
                            tile,
                            strip.rows.start,
                            sums,
                            apart,
                        );
                    }
                    apart
                }
            };
            assert!(dense.len() >= tile.height * self.stride() && runs.len <= self.stride());
            assert!(y.len() == self.outer * self.groups * plane);
            // SAFETY: both hold the runs, by the assertions; the rows of the strip, or the
            // channels of the tile, are this thread's own.
            #[allow(unsafe_code)]
            unsafe {
                let from = Strided::new(dense.as_ptr(), self.stride());
                let to = Strided::new(y.start().wrapping_add(start), plane);
                after.apply(runs, from, to);
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        phase: &Phase,
        weights: &Packed,
        tile: Tile,
        positions: &Positions,
        copy: &[f32],
        sums: &mut [f32],
        soon: [Wanted<'_>; 3],
    ) {
        let Positions { rows, columns, .. } = positions;
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let columns = Columns {
            b: copy,
            offsets: &phase.offsets,
            first: positions.first,
            count: (rows.len() - 1) * self.row + columns.len(),
            last_offset: phase.last_offset,
            continued: false,
            soon,
        };
        multiply(
            simd,
            tile.height,
            weights.tile(tile),
            &columns,
            sums,
            self.stride(),
        );
    }

    /// Takes the entries of padding between the rows of sums out.
    #[inline(always)]
    fn close_ranks<S: Simd>(&self, simd: S, tile: Tile, rows: usize, sums: &mut [f32]) {
        let width = self.columns.output();
        if self.row == width {
            return;
        }
        for sums in sums.chunks_exact_mut(self.stride()).take(tile.height) {
            assert!(rows * self.row <= sums.len() && width <= self.row);
            for row in 1..rows {
                // SAFETY: both rows are among the sums, by the assertion. The elements go down,
                // the first ones first, so that none is overwritten before it has gone.
                #[allow(unsafe_code)]
                unsafe {
                    let sums = sums.as_mut_ptr();
                    move_down(simd, sums.add(row * self.row), sums.add(row * width), width);
                }
            }
        }
    }

    /// Puts the sums of a phase between those of the others.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn interleave<S: Simd>(
        &self,
        simd: S,
        phase: &Phase,
        positions: &Positions,
        tile: Tile,
        first_row: usize,
        sums: &[f32],
        apart: &mut [f32],
    ) {
        let Positions { rows, columns, .. } = positions;
        if columns.is_empty() {
            return;
        }
        let row_phase = &self.rows.out_phases[phase.row];
        let column_phase = &self.columns.out_phases[phase.column];
        let first = self.columns.output_at(column_phase, columns.start);
        let planes = sums
            .chunks_exact(self.stride())
            .zip(apart.chunks_exact_mut(self.stride()));
        for (sums, to) in planes.take(tile.height) {
            for (i, t) in rows.clone().enumerate() {
                let line = self.rows.output_at(row_phase, t) - first_row;
                let to = &mut to[line * self.columns.output()..][..self.columns.output()];
                let from = &sums[i * self.row..][..columns.len()];
                spread_row(simd, from, self.columns.out_step(), &mut to[first..]);
            }
        }
    }
}

/// Moves elements to a lower address, or to where they do not overlap.
///
/// # Safety
/// `from` is valid for reading and `to` for writing `n` elements.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn move_down<S: Simd>(simd: S, from: *const f32, to: *mut f32, n: usize) {
    let whole = n / S::LANES * S::LANES;
    // SAFETY: all inside of the `n` elements.
    unsafe {
        for i in (0..whole).step_by(S::LANES) {
            simd.store(to.add(i), simd.load(from.add(i)));
        }
        if n > whole {
            simd.store_first(
                n - whole,
                to.add(whole),
                simd.load_first(n - whole, from.add(whole)),
            );
        }
    }
}

/// Copies every `step`-th element to `across`, and zeros to the rest of a row. Rows are short: a
/// call of a library function for each would take longer than the copy.
#[inline(always)]
pub(super) fn copy_row<S: Simd>(
    simd: S,
    from: &[f32],
    step: usize,
    across: &Range<usize>,
    to: &mut [f32],
) {
    let (to, behind) = to.split_at_mut(across.end);
    let (before, to) = to.split_at_mut(across.start);
    before.iter_mut().for_each(|to| *to = 0.0);
    behind.iter_mut().for_each(|to| *to = 0.0);
    match step {
        1 => {
            let from = &from[..to.len()];
            // SAFETY: both slices hold the elements.
            #[allow(unsafe_code)]
            unsafe {
                move_down(simd, from.as_ptr(), to.as_mut_ptr(), to.len());
            }
        }
        2 => copy_every_second(simd, from, to),
        _ => to
            .iter_mut()
            .zip(from.iter().step_by(step))
            .for_each(|(to, from)| *to = *from),
    }
}

/// Copies the first, the third and so on.
#[inline(always)]
fn copy_every_second<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let pairs = from.chunks(2 * S::LANES);
    for (to, from) in to.chunks_mut(S::LANES).zip(pairs) {
        let (low, high) = from.split_at(from.len().min(S::LANES));
        assert!(2 * to.len() <= from.len() + 1);
        // SAFETY: all are as long as they are said to be.
        #[allow(unsafe_code)]
        unsafe {
            let low = load_up_to(simd, low.len(), low.as_ptr());
            let high = load_up_to(simd, high.len(), high.as_ptr());
            let (even, _) = simd.unzip(low, high);
            store_up_to(simd, to.len(), to.as_mut_ptr(), even);
        }
    }
}

/// Copies elements to every `step`-th place of a row, of which the others stay as they are.
#[inline(always)]
fn spread_row<S: Simd>(simd: S, from: &[f32], step: usize, to: &mut [f32]) {
    if step != 2 {
        let to = to.iter_mut().step_by(step);
        to.zip(from).for_each(|(to, from)| *to = *from);
        return;
    }
    let pairs = to.chunks_mut(2 * S::LANES);
    for (from, to) in from.chunks(S::LANES).zip(pairs) {
        let len = to.len().min(2 * from.len());
        let (low, high) = to[..len].split_at_mut(len.min(S::LANES));
        // SAFETY: all are as long as they are said to be.
        #[allow(unsafe_code)]
        unsafe {
            let kept = [&*low, &*high].map(|to| load_up_to(simd, to.len(), to.as_ptr()));
            let (_, odd) = simd.unzip(kept[0], kept[1]);
            let from = load_up_to(simd, from.len(), from.as_ptr());
            let (first, second) = simd.zip(from, odd);
            store_up_to(simd, low.len(), low.as_mut_ptr(), first);
            store_up_to(simd, high.len(), high.as_mut_ptr(), second);
        }
    }
}
