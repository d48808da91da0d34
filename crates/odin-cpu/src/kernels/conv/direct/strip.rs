//! Execution of a direct convolution, strip by strip.

use super::{Conv, Phase};
use crate::kernels::conv::rows::{copy_forward, copy_padded_row, scatter_row};
use crate::kernels::epilogue::{BoundEpilogue, Span, StridedPtr};
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::{PackedMatrix, RowTile};
use crate::kernels::gemm::prefetch::Prefetch;
use crate::kernels::{ImageIo, SimdKernel, WorkSlice, Worker};
use crate::memory::{ScratchSize, SharedSlice};
use crate::simd::{Isa, Simd};
use std::ops::Range;

impl SimdKernel for Conv {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.copy_len() + 2 * self.height() * self.stride())
    }

    /// Threads partition the rows where there are enough, else the groups, else the output
    /// channels.
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let ImageIo { x, y } = image;
        let (rows, grain) = (self.rows.output(), self.grain());
        let grains = rows.div_ceil(grain);
        let by_rows = grains >= 4 * worker.slice.count || grains.is_multiple_of(worker.slice.count);
        let [row_slice, group_slice, channel_slice] =
            match (by_rows, self.groups >= worker.slice.count) {
                (true, _) => [worker.slice, WorkSlice::WHOLE, WorkSlice::WHOLE],
                (false, true) => [WorkSlice::WHOLE, worker.slice, WorkSlice::WHOLE],
                (false, false) => [WorkSlice::WHOLE, WorkSlice::WHOLE, worker.slice],
            };
        let own = row_slice.of(grains);
        let rows = (own.start * grain).min(rows)..(own.end * grain).min(rows);
        let [inputs, outputs] = self.planes();
        let epilogue = self.epilogue.bind(
            self.isa,
            x,
            y.epilogue_signs,
            [self.outer * self.groups, outputs],
        );
        let (copy, rest) = worker
            .scratch
            .floats
            .as_mut_slice()
            .split_at_mut(self.copy_len());
        let (sums, interleaved) = rest.split_at_mut(self.height() * self.stride());
        for first in rows.clone().step_by(self.strip) {
            let strip = self.strip(first..rows.end.min(first + self.strip), channel_slice);
            for group in group_slice.of(self.groups) {
                let from = &x.floats(0)[group * self.inner * inputs..][..self.inner * inputs];
                self.copy_padded(simd, from, &strip, copy);
                self.multiply_tiles(
                    simd,
                    &strip,
                    group,
                    copy,
                    sums,
                    interleaved,
                    &epilogue,
                    y.floats,
                );
            }
        }
    }
}

/// Some output rows, and their receptive field in every channel.
struct Strip {
    rows: Range<usize>,
    /// This thread's slice of the output channels of a group.
    channel_slice: WorkSlice,
    /// The number of rows of the copy.
    copied_rows: usize,
    /// Per input phase.
    inside: Vec<Unpadded>,
    /// Per output phase.
    positions: Vec<Positions>,
}

/// The part of an input phase's copy that is not padding.
struct Unpadded {
    rows: Range<usize>,
    columns: Range<usize>,
    /// The input row of the first row, and the element of the first column.
    line: usize,
    element: usize,
}

/// The positions of an output phase.
struct Positions {
    rows: Range<usize>,
    columns: Range<usize>,
    /// The offset of the first one in the copy.
    first: usize,
}

impl Conv {
    fn strip(&self, rows: Range<usize>, channel_slice: WorkSlice) -> Strip {
        let all = 0..self.columns.output();
        let (lines, columns) = (
            self.rows.receptive_field(&rows),
            self.columns.receptive_field(&all),
        );
        let mut inside = Vec::new();
        for row in 0..self.rows.in_phases.len() {
            for column in 0..self.columns.in_phases.len() {
                let (own_rows, line) = self.rows.unpadded(row, &lines);
                let (own_columns, element) = self.columns.unpadded(column, &columns);
                inside.push(Unpadded {
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
            copied_rows: lines.len(),
            rows,
            channel_slice,
            inside,
        }
    }

    /// Copies the receptive field of a strip, with its padding.
    #[inline(always)]
    fn copy_padded<S: Simd>(&self, simd: S, from: &[f32], strip: &Strip, copy: &mut [f32]) {
        let (size, phases) = (self.planes()[0], strip.inside.len());
        let step = self.columns.in_stride();
        for (phase, inside) in strip.inside.iter().enumerate() {
            let Unpadded { rows, columns, .. } = inside;
            for channel in 0..self.inner {
                let from = &from[channel * size..][..size];
                let to = &mut copy[(channel * phases + phase) * self.plane..];
                let to = &mut to[..strip.copied_rows * self.row];
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
                    let line = inside.line + i * self.rows.in_stride();
                    let from = &from[line * self.columns.input() + inside.element..];
                    let from = &from[..(columns.len() - 1) * step + 1];
                    copy_padded_row(simd, from, step, columns, to);
                }
            }
        }
    }

    /// Multiplies each tile of weights with the copy, and applies the epilogue to its part of the
    /// output.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn multiply_tiles<S: Simd>(
        &self,
        simd: S,
        strip: &Strip,
        group: usize,
        copy: &[f32],
        sums: &mut [f32],
        interleaved: &mut [f32],
        epilogue: &BoundEpilogue<'_>,
        y: SharedSlice<'_, f32>,
    ) {
        let (width, plane) = (self.columns.output(), self.planes()[1]);
        let all = self.phases[0].weights[group].tiles();
        for index in strip.channel_slice.of(all.len()) {
            let tile = all[index];
            let channel = group * self.outer + tile.row;
            let span = Span {
                channels: channel..channel + tile.height,
                first: strip.rows.start * width,
                len: strip.rows.len() * width,
            };
            let start = channel * plane + span.first;
            let prefetch = |x: *const f32| Prefetch {
                base: x.wrapping_add(start),
                lines: &self.cache_lines,
            };
            let addend = epilogue
                .addend()
                .map_or(Prefetch::NONE, |x| prefetch(x.as_ptr()));
            let prefetches = [prefetch(y.start()), addend, Prefetch::NONE];
            let dense: &[f32] = match &self.phases[..] {
                [phase] => {
                    let (weights, positions) = (&phase.weights[group], &strip.positions[0]);
                    self.multiply_phase(
                        simd, phase, weights, tile, positions, copy, sums, prefetches,
                    );
                    self.remove_row_padding(simd, tile, strip.rows.len(), sums);
                    sums
                }
                phases => {
                    if phases.iter().any(Phase::is_empty) {
                        interleaved[..tile.height * self.stride()].fill(0.0);
                    }
                    let all = phases.iter().zip(&strip.positions);
                    for (phase, positions) in all.filter(|(phase, _)| !phase.is_empty()) {
                        let weights = &phase.weights[group];
                        let tile = weights.tiles()[index];
                        self.multiply_phase(
                            simd, phase, weights, tile, positions, copy, sums, prefetches,
                        );
                        self.interleave(
                            simd,
                            phase,
                            positions,
                            tile,
                            strip.rows.start,
                            sums,
                            interleaved,
                        );
                    }
                    interleaved
                }
            };
            assert!(dense.len() >= tile.height * self.stride() && span.len <= self.stride());
            assert!(y.len() == self.outer * self.groups * plane);
            // SAFETY: both hold the span, by the assertions; the rows of the strip, or the channels
            // of the tile, are in this thread's work slice.
            #[allow(unsafe_code)]
            unsafe {
                let from = StridedPtr::new(dense.as_ptr(), self.stride());
                let to = StridedPtr::new(y.start().wrapping_add(start), plane);
                epilogue.apply(span, from, to);
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn multiply_phase<S: Simd>(
        &self,
        simd: S,
        phase: &Phase,
        weights: &PackedMatrix,
        tile: RowTile,
        positions: &Positions,
        copy: &[f32],
        sums: &mut [f32],
        prefetches: [Prefetch<'_>; 3],
    ) {
        let Positions { rows, columns, .. } = positions;
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let columns = ColumnPanel {
            b: copy,
            offsets: &phase.offsets,
            first: positions.first,
            count: (rows.len() - 1) * self.row + columns.len(),
            last_offset: phase.last_offset,
            accumulate: false,
            prefetches,
        };
        multiply_tile(
            simd,
            tile.height,
            weights.tile(tile),
            &columns,
            sums,
            self.stride(),
        );
    }

    /// Removes the padding between the rows of sums.
    #[inline(always)]
    fn remove_row_padding<S: Simd>(&self, simd: S, tile: RowTile, rows: usize, sums: &mut [f32]) {
        let width = self.columns.output();
        if self.row == width {
            return;
        }
        for sums in sums.chunks_exact_mut(self.stride()).take(tile.height) {
            assert!(rows * self.row <= sums.len() && width <= self.row);
            for row in 1..rows {
                // SAFETY: both rows are among the sums, by the assertion. Elements move to lower
                // addresses in ascending order, so that none is overwritten before it is read.
                #[allow(unsafe_code)]
                unsafe {
                    let sums = sums.as_mut_ptr();
                    copy_forward(simd, sums.add(row * self.row), sums.add(row * width), width);
                }
            }
        }
    }

    /// Interleaves the sums of a phase with those of the others.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn interleave<S: Simd>(
        &self,
        simd: S,
        phase: &Phase,
        positions: &Positions,
        tile: RowTile,
        first_row: usize,
        sums: &[f32],
        interleaved: &mut [f32],
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
            .zip(interleaved.chunks_exact_mut(self.stride()));
        for (sums, to) in planes.take(tile.height) {
            for (i, t) in rows.clone().enumerate() {
                let line = self.rows.output_at(row_phase, t) - first_row;
                let to = &mut to[line * self.columns.output()..][..self.columns.output()];
                let from = &sums[i * self.row..][..columns.len()];
                scatter_row(simd, from, self.columns.out_stride(), &mut to[first..]);
            }
        }
    }
}
