//! Execution of a direct convolution, strip by strip.

use super::products::{self, Interior, Products};
use super::{Conv, Layout, Phase};
use crate::kernels::conv::rows::{copy_forward, scatter_row};
use crate::kernels::epilogue::{BoundEpilogue, Span, StridedPtr};
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::gemm::prefetch::Prefetch;
use crate::kernels::{ImageIo, SimdKernel, WorkSlice, Worker};
use crate::memory::ScratchSize;
use crate::program::StepPrecision;
use crate::simd::{Isa, MAX_LANES, Simd};
use std::ops::Range;

impl<P: Products> SimdKernel for Conv<P> {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn images_at_a_time(&self) -> usize {
        self.images
    }

    fn precision(&self) -> StepPrecision {
        self.products.precision()
    }

    fn scratch(&self) -> ScratchSize {
        let panel = self.images * self.panel_len(self.strip);
        ScratchSize::floats(self.copy_len() + panel + 2 * self.height() * self.stride())
    }

    /// Threads partition the rows where there are enough, else the groups, else the output
    /// channels.
    #[inline(always)]
    fn run_images<S: Simd>(&self, simd: S, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
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
        let mut buffers = self.buffers(worker.scratch.floats.as_mut_slice());
        let together = images.len() / self.images * self.images;
        let (several, rest) = images.split_at(match self.layouts.len() {
            1 => images.len(),
            _ => together,
        });
        let of_layout = |layout: &Layout| {
            if P::IMAGES_IN_ROWS {
                layout.images
            } else {
                self.images
            }
        };
        let [first, last] = [&self.layouts[0], &self.layouts[self.layouts.len() - 1]];
        let chunks = several.chunks(of_layout(last)).map(|images| (last, images));
        let chunks = chunks.chain(rest.chunks(of_layout(first)).map(|images| (first, images)));
        for (layout, images) in chunks {
            let bound: Vec<BoundEpilogue<'_>> = images.iter().map(|i| self.bind(i)).collect();
            for first in rows.clone().step_by(self.strip) {
                let own = first..rows.end.min(first + self.strip);
                let strip = self.strip(layout, own, channel_slice);
                for group in group_slice.of(self.groups) {
                    for (index, image) in images.iter().enumerate() {
                        self.copy_padded(simd, image, index, group, &strip, buffers.copy);
                        self.unfold(simd, &strip, [index, images.len()], &mut buffers);
                    }
                    self.multiply_tiles(simd, images, &bound, group, &strip, &mut buffers);
                }
            }
        }
        self.products.release();
    }
}

/// The scratch memory of a thread.
struct Buffers<'a> {
    /// The padded copy of an image.
    copy: &'a mut [f32],
    /// The panels of all images, phase by phase.
    panel: &'a mut [f32],
    sums: &'a mut [f32],
    interleaved: &'a mut [f32],
}

/// Some output rows, and their receptive field in every channel.
struct Strip<'a> {
    layout: &'a Layout,
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

/// The part of a range of entries that positions read at a shift, as positions below `width`.
fn shifted(entries: &Range<usize>, shift: usize, width: usize) -> Range<usize> {
    let start = entries.start.saturating_sub(shift).min(width);
    start..entries.end.saturating_sub(shift).clamp(start, width)
}

/// The positions of an output phase.
struct Positions {
    rows: Range<usize>,
    columns: Range<usize>,
    /// The offset of the first one in the copy.
    first: usize,
}

impl Positions {
    /// Their number, with the padding between rows of a length.
    fn count(&self, row: usize) -> usize {
        match self.rows.is_empty() || self.columns.is_empty() {
            true => 0,
            false => (self.rows.len() - 1) * row + self.columns.len(),
        }
    }
}

impl<P: Products> Conv<P> {
    fn buffers<'a>(&self, scratch: &'a mut [f32]) -> Buffers<'a> {
        let (copy, rest) = scratch.split_at_mut(self.copy_len());
        let (panel, rest) = rest.split_at_mut(self.images * self.panel_len(self.strip));
        let (sums, interleaved) = rest.split_at_mut(self.height() * self.stride());
        Buffers {
            copy,
            panel,
            sums,
            interleaved,
        }
    }

    fn bind<'a>(&'a self, image: &ImageIo<'a>) -> BoundEpilogue<'a> {
        let output = [self.outer * self.groups, self.planes()[1]];
        let signs = image.y.epilogue_signs;
        self.epilogue.bind(self.isa, &image.x, signs, output)
    }

    fn strip<'a>(
        &self,
        layout: &'a Layout,
        rows: Range<usize>,
        channel_slice: WorkSlice,
    ) -> Strip<'a> {
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
        let positions = |phase: &Phase<P::Weights>| {
            let row = &self.rows.out_phases[phase.row];
            let column = &self.columns.out_phases[phase.column];
            let own_rows = self.rows.positions(row, &rows);
            let own_columns = self.columns.positions(column, &all);
            let first_row = own_rows.start.saturating_sub(lines.start);
            let first_column = own_columns.start.saturating_sub(columns.start);
            Positions {
                first: first_row * layout.row + first_column,
                rows: own_rows,
                columns: own_columns,
            }
        };
        Strip {
            layout,
            positions: self.phases.iter().map(positions).collect(),
            copied_rows: lines.len(),
            rows,
            channel_slice,
            inside,
        }
    }

    /// Copies the receptive field of a strip in a group's channels, with its padding.
    #[inline(always)]
    fn copy_padded<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        index: usize,
        group: usize,
        strip: &Strip<'_>,
        copy: &mut [f32],
    ) {
        let size = self.planes()[0];
        let from = &image.x.floats(0)[group * self.inner * size..][..self.inner * size];
        let (rows, columns) = (&self.rows, &self.columns);
        let layout = strip.layout;
        let width = match layout.images {
            1 => layout.row,
            _ => columns.output(),
        };
        for source in self.products.sources(self.copy_shape(), columns) {
            let inside =
                &strip.inside[source.phases[0] * columns.in_phases.len() + source.phases[1]];
            let own = shifted(&inside.columns, source.shift, width);
            let skipped = (own.start + source.shift).saturating_sub(inside.columns.start);
            let interior = Interior {
                from,
                channel: size,
                channels: self.inner,
                first: inside.line * columns.input()
                    + inside.element
                    + skipped * columns.in_stride(),
                row_stride: rows.in_stride() * columns.input(),
                step: columns.in_stride(),
                rows: inside.rows.clone(),
                columns: own,
                row: layout.row,
                copied_rows: strip.copied_rows,
                image: if layout.images > 1 { index } else { 0 },
                width,
            };
            let distances = source.distances.map(|planes| planes * layout.plane);
            let copy = &mut copy[source.first * layout.plane..];
            self.products.copy(simd, &interior, copy, distances);
        }
    }

    /// Writes the panels of an image.
    #[inline(always)]
    fn unfold<S: Simd>(
        &self,
        simd: S,
        strip: &Strip<'_>,
        [image, images]: [usize; 2],
        buffers: &mut Buffers<'_>,
    ) {
        let mut panel = &mut buffers.panel[..];
        let phases = self.phases.iter().zip(&strip.positions);
        for ((phase, positions), reads) in phases.zip(&strip.layout.reads) {
            let own;
            (own, panel) = panel.split_at_mut(self.panel_of(phase, positions, strip, images));
            if phase.is_empty() || positions.count(strip.layout.row) == 0 {
                continue;
            }
            let positions = self.operand(positions, strip, images, buffers.copy, &[]);
            let shape = self.shape(phase.taps);
            self.products
                .unfold(simd, reads, shape, &positions, image, own);
        }
    }

    /// The positions of an output phase as operand.
    fn operand<'a>(
        &self,
        positions: &Positions,
        strip: &Strip<'_>,
        images: usize,
        copy: &'a [f32],
        panel: &'a [f32],
    ) -> products::Positions<'a> {
        let Layout { row, plane, .. } = *strip.layout;
        products::Positions {
            copy,
            panel,
            first: positions.first,
            plane,
            copied: self.copied_planes() * plane,
            count: match strip.layout.images {
                1 => positions.count(row),
                _ => positions.rows.len() * row,
            },
            images,
            prefetches: [Prefetch::NONE; 3],
        }
    }

    /// Elements of the panel of an output phase.
    fn panel_of(
        &self,
        phase: &Phase<P::Weights>,
        positions: &Positions,
        strip: &Strip<'_>,
        images: usize,
    ) -> usize {
        let count = positions.count(strip.layout.row);
        images * self.products.panel(self.shape(phase.taps), count)
    }

    /// Multiplies each tile of weights with the copies, and applies the epilogue to its part of the
    /// outputs.
    #[inline(always)]
    fn multiply_tiles<S: Simd>(
        &self,
        simd: S,
        images: &[ImageIo<'_>],
        bound: &[BoundEpilogue<'_>],
        group: usize,
        strip: &Strip<'_>,
        buffers: &mut Buffers<'_>,
    ) {
        let [width, plane] = [self.columns.output(), self.planes()[1]];
        let tiles = P::tiles(&self.phases[0].weights[group]);
        for index in strip.channel_slice.of(tiles.len()) {
            let tile = tiles[index];
            let channel = group * self.outer + tile.row;
            let span = Span {
                channels: channel..channel + tile.height,
                first: strip.rows.start * width,
                len: strip.rows.len() * width,
            };
            let start = channel * plane + span.first;
            let prefetches = self.prefetches(&images[0], &bound[0], start);
            let distance =
                self.multiply_tile(simd, group, index, strip, images.len(), buffers, prefetches);
            let dense = match self.phases.len() == 1 && strip.layout.images == 1 {
                true => &*buffers.sums,
                false => &*buffers.interleaved,
            };
            let last = (images.len() - 1) * distance + (tile.height - 1) * self.stride();
            assert!(last + span.len <= dense.len());
            for (i, (image, epilogue)) in images.iter().zip(bound).enumerate() {
                let y = image.y.floats;
                assert!(y.len() == self.outer * self.groups * plane);
                // SAFETY: both hold the span, by the assertions; the rows of the strip, or the
                // channels of the tile, are in this thread's work slice.
                #[allow(unsafe_code)]
                unsafe {
                    let from = dense.as_ptr().add(i * distance);
                    let from = StridedPtr::new(from, self.stride());
                    let to = StridedPtr::new(y.start().wrapping_add(start), plane);
                    epilogue.apply(span.clone(), from, to);
                }
            }
        }
    }

    /// What to prefetch while a tile is multiplied: its part of an image's output, and the addend.
    fn prefetches<'a>(
        &'a self,
        image: &ImageIo<'a>,
        epilogue: &BoundEpilogue<'a>,
        start: usize,
    ) -> [Prefetch<'a>; 3] {
        let prefetch = |x: *const f32| Prefetch {
            base: x.wrapping_add(start),
            lines: &self.cache_lines,
        };
        let addend = epilogue.addend();
        let addend = addend.map_or(Prefetch::NONE, |x| prefetch(x.as_ptr()));
        [prefetch(image.y.floats.start()), addend, Prefetch::NONE]
    }

    /// Multiplies a tile of weights in all output phases, without the padding between rows, and
    /// returns the distance between the results of two images.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn multiply_tile<S: Simd>(
        &self,
        simd: S,
        group: usize,
        index: usize,
        strip: &Strip<'_>,
        images: usize,
        buffers: &mut Buffers<'_>,
        prefetches: [Prefetch<'_>; 3],
    ) -> usize {
        let Buffers {
            copy,
            panel,
            sums,
            interleaved,
        } = buffers;
        let is_single = self.phases.len() == 1;
        if !is_single && self.phases.iter().any(Phase::is_empty) {
            let height = P::tiles(&self.phases[0].weights[group])[index].height;
            interleaved[..height * self.stride()].fill(0.0);
        }
        let layout = strip.layout;
        let mut panel = &panel[..];
        let mut distance = self.image_stride();
        let phases = self.phases.iter().zip(&strip.positions);
        for ((phase, positions), reads) in phases.zip(&layout.reads) {
            let (own, rest) = panel.split_at(self.panel_of(phase, positions, strip, images));
            panel = rest;
            let count = positions.count(layout.row);
            if count == 0 || phase.is_empty() && !is_single {
                continue;
            }
            let weights = &phase.weights[group];
            let tile = P::tiles(weights)[index];
            let mut operand = self.operand(positions, strip, images, copy, own);
            operand.prefetches = prefetches;
            let (shape, stride) = (self.shape(phase.taps), self.stride());
            self.products
                .multiply(simd, reads, weights, shape, tile, &operand, sums, stride);
            let of_image = count.next_multiple_of(MAX_LANES);
            for image in 0..images {
                match (is_single, layout.images) {
                    (true, 1) => {
                        let sums = &mut sums[image * of_image..];
                        self.remove_row_padding(simd, tile, strip, sums);
                        distance = of_image;
                    }
                    (true, _) => {
                        let to = &mut interleaved[image * distance..];
                        self.gather(simd, tile, strip, image, sums, to);
                    }
                    (false, _) => {
                        let to = &mut interleaved[image * distance..];
                        let sums = &sums[image * of_image..];
                        self.interleave(simd, phase, positions, tile, strip, sums, to);
                    }
                }
            }
        }
        distance
    }

    /// Gathers the sums of one of several images side by side.
    #[inline(always)]
    fn gather<S: Simd>(
        &self,
        simd: S,
        tile: RowTile,
        strip: &Strip<'_>,
        image: usize,
        sums: &[f32],
        to: &mut [f32],
    ) {
        let (width, row, rows) = (self.columns.output(), strip.layout.row, strip.rows.len());
        for channel in 0..tile.height {
            let from = &sums[channel * self.stride() + image * width..];
            let to = &mut to[channel * self.stride()..][..rows * width];
            assert!((rows - 1) * row + width <= from.len());
            for line in 0..rows {
                // SAFETY: both hold the rows, by the assertion and the range.
                #[allow(unsafe_code)]
                unsafe {
                    let to = to.as_mut_ptr().add(line * width);
                    copy_forward(simd, from.as_ptr().add(line * row), to, width);
                }
            }
        }
    }

    /// Removes the padding between the rows of sums.
    #[inline(always)]
    fn remove_row_padding<S: Simd>(
        &self,
        simd: S,
        tile: RowTile,
        strip: &Strip<'_>,
        sums: &mut [f32],
    ) {
        let (width, row, rows) = (self.columns.output(), strip.layout.row, strip.rows.len());
        if row == width {
            return;
        }
        for channel in 0..tile.height {
            let sums = &mut sums[channel * self.stride()..];
            assert!((rows - 1) * row + width <= sums.len() && width <= row);
            for line in 1..rows {
                // SAFETY: both rows are among the sums, by the assertion. Elements move to lower
                // addresses in ascending order, so that none is overwritten before it is read.
                #[allow(unsafe_code)]
                unsafe {
                    let sums = sums.as_mut_ptr();
                    copy_forward(simd, sums.add(line * row), sums.add(line * width), width);
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
        phase: &Phase<P::Weights>,
        positions: &Positions,
        tile: RowTile,
        strip: &Strip<'_>,
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
        for channel in 0..tile.height {
            let sums = &sums[channel * self.stride()..];
            let to = &mut interleaved[channel * self.stride()..];
            for (i, t) in rows.clone().enumerate() {
                let line = self.rows.output_at(row_phase, t) - strip.rows.start;
                let to = &mut to[line * self.columns.output()..][..self.columns.output()];
                let from = &sums[i * strip.layout.row..][..columns.len()];
                scatter_row(simd, from, self.columns.out_stride(), &mut to[first..]);
            }
        }
    }
}
