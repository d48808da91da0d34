//! Execution of a Winograd convolution: input tiles are gathered and transformed, multiplied at
//! each point of the transforms, and transformed back; then the epilogue is applied.
//!
//! The lanes of a vector are consecutive tiles, across rows of tiles: on small images a row of
//! tiles is much shorter than a vector.

use super::deinterleave::Plane;
use super::transform::{Four, Transform, Two};
use super::{MANY_WEIGHTS, TRANSFORM_COST, TileSize, Winograd};
use crate::kernels::conv::rows::copy_forward;
use crate::kernels::epilogue::{BoundEpilogue, Span, StridedPtr};
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::gemm::prefetch::Prefetch;
use crate::kernels::{ImageIo, MAX_IMAGES, SimdKernel, WorkSlice, Worker};
use crate::memory::ScratchSize;
use crate::simd::{Isa, Simd, store_up_to};
use std::ops::Range;

/// Some rows of tiles of an image, and the number of their first tile in the block.
struct Piece {
    image: usize,
    tile_rows: Range<usize>,
    first: usize,
}

/// The scratch memory of a block; [`Winograd::buffers`] has the sizes.
struct Buffers<'a> {
    /// The deinterleaved receptive field of a piece in one channel, see
    /// [`super::deinterleave::Deinterleave::run`].
    phases: &'a mut [f32],
    transformed: &'a mut [f32],
    sums: &'a mut [f32],
    /// For each of the `M` rows of output tiles, tile after tile.
    lines: &'a mut [f32],
    piece: &'a mut [f32],
}

impl SimdKernel for Winograd {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn images_at_a_time(&self) -> usize {
        (self.units / self.units_per_image()).clamp(1, MAX_IMAGES)
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.buffers().iter().sum())
    }

    #[inline(always)]
    fn run_images<S: Simd>(&self, simd: S, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
        match self.size {
            TileSize::Two => self.run_tiles::<S, Two, 2, 4>(simd, images, worker),
            TileSize::Four => self.run_tiles::<S, Four, 4, 6>(simd, images, worker),
        }
    }
}

impl Winograd {
    #[inline(always)]
    fn run_tiles<S: Simd, F: Transform<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        images: &[ImageIo<'_>],
        worker: &mut Worker<'_>,
    ) {
        let units = images.len() * self.units_per_image();
        let [unit_slice, channel_slice] =
            match self.partitions_channels(units, worker.slice.count, S::LANES) {
                true => [WorkSlice::WHOLE, worker.slice],
                false => [worker.slice, WorkSlice::WHOLE],
            };
        let tiles = self.weights.tiles();
        let tiles = &tiles[channel_slice.of(tiles.len())];
        if tiles.is_empty() {
            return;
        }
        let own = unit_slice.of(units);
        let bound: Vec<BoundEpilogue<'_>> = images.iter().map(|image| self.bind(image)).collect();

        let [phases, transformed, sums, lines, _] = self.buffers();
        let (phases, rest) = worker.scratch.floats.as_mut_slice().split_at_mut(phases);
        let (transformed, rest) = rest.split_at_mut(transformed);
        let (sums, rest) = rest.split_at_mut(sums);
        let (lines, piece) = rest.split_at_mut(lines);
        let mut buffers = Buffers {
            phases,
            transformed,
            sums,
            lines,
            piece,
        };
        let blocks = WorkSlice {
            index: 0,
            count: own.len().div_ceil(self.units),
        };
        for index in 0..blocks.count {
            let block = WorkSlice { index, ..blocks }.of(own.len());
            let pieces = self.pieces(own.start + block.start..own.start + block.end);
            let columns =
                pieces.iter().map(|p| p.tile_rows.len()).sum::<usize>() * self.columns.tiles;
            for channel in 0..self.inner {
                for piece in &pieces {
                    let x = images[piece.image].x.floats(0);
                    self.deinterleave_input::<S, M, N>(simd, x, channel, piece, &mut buffers);
                    self.transform_input::<S, F, M, N>(simd, channel, piece, &mut buffers);
                }
            }
            self.multiply(simd, tiles, columns, &mut buffers);
            for &tile in tiles {
                for piece in &pieces {
                    self.transform_output::<S, F, M, N>(simd, tile, piece, &mut buffers);
                    self.apply_epilogue(
                        &images[piece.image],
                        &bound[piece.image],
                        tile,
                        piece,
                        &buffers,
                    );
                }
            }
        }
    }
}

impl Winograd {
    /// Whether threads partition the output channels rather than the units. They do where the
    /// weights are many, so that each reads its own. Otherwise the cheaper partition is chosen:
    /// transforming a vector of tiles of a channel takes as long as multiplying it with the weights
    /// of [`TRANSFORM_COST`] channels; if threads partition channels, each transforms all of the
    /// input; if they partition units, vectors are partly empty.
    fn partitions_channels(&self, units: usize, threads: usize, lanes: usize) -> bool {
        let many_weights = self.outer * self.inner * self.points() > MANY_WEIGHTS;
        let vectors = |units: usize| (units * self.unit_tiles()).div_ceil(lanes);
        let cost = |units: usize, outer: usize| {
            vectors(units) * (TRANSFORM_COST * (self.inner + outer) + self.inner * outer)
        };
        let by_channels = cost(
            units,
            self.outer
                .div_ceil(threads)
                .next_multiple_of(self.weights.height()),
        );
        many_weights || units < threads || by_channels < cost(units.div_ceil(threads), self.outer)
    }

    fn bind<'a>(&'a self, image: &ImageIo<'a>) -> BoundEpilogue<'a> {
        let plane = self.rows.output * self.columns.output;
        self.epilogue.bind(
            self.isa,
            &image.x,
            image.y.epilogue_signs,
            [self.outer, plane],
        )
    }

    /// The pieces of some units of all images.
    fn pieces(&self, units: Range<usize>) -> Vec<Piece> {
        let (of_image, mut unit, mut first) = (self.units_per_image(), units.start, 0);
        let mut pieces = Vec::new();
        while unit < units.end {
            let (image, start) = (unit / of_image, unit % of_image);
            let count = (of_image - start).min(units.end - unit);
            let rows = start * self.unit..self.rows.tiles.min((start + count) * self.unit);
            let tiles = rows.len() * self.columns.tiles;
            pieces.push(Piece {
                image,
                tile_rows: rows,
                first,
            });
            (unit, first) = (unit + count, first + tiles);
        }
        pieces
    }

    /// Deinterleaves the receptive field of a piece in one channel into `buffers.phases`.
    #[inline(always)]
    fn deinterleave_input<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        x: &[f32],
        channel: usize,
        piece: &Piece,
        buffers: &mut Buffers<'_>,
    ) {
        let size = self.rows.input * self.columns.input;
        let plane = Plane {
            x: &x[channel * size..][..size],
            first: M * piece.tile_rows.start,
            pad: self.rows.pad,
        };
        let rows = [piece.tile_rows.len(), self.columns.tiles];
        self.deinterleave
            .run::<S, M, N>(simd, &plane, rows, buffers.phases, self.phase());
    }

    /// Transforms the receptive field of a piece in one channel, which
    /// [`Winograd::deinterleave_input`] has deinterleaved.
    #[inline(always)]
    fn transform_input<S: Simd, F: Transform<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        channel: usize,
        piece: &Piece,
        buffers: &mut Buffers<'_>,
    ) {
        let (tiles, phase) = (self.columns.tiles, self.phase());
        let count = piece.tile_rows.len() * tiles;
        assert!(count.next_multiple_of(S::LANES) + tiles <= phase);
        assert!(buffers.phases.len() >= M * N * phase);
        let (plane, to) = (self.plane(), channel * self.stride() + piece.first);
        assert!((N * N - 1) * plane + to + count <= buffers.transformed.len());
        for first in (0..count).step_by(S::LANES) {
            // SAFETY: the last vector that is read begins one row of tiles further in the last
            // phase, and ends inside of it, by the first assertion. The tiles of the piece are
            // written, inside by the last one.
            #[allow(unsafe_code)]
            unsafe {
                let from = buffers.phases.as_ptr().add(first);
                let to = buffers.transformed.as_mut_ptr().add(to + first);
                let mut columns = [[simd.splat(0.0); N]; N];
                for (j, column) in columns.iter_mut().enumerate() {
                    let mut input = [simd.splat(0.0); N];
                    for (i, x) in input.iter_mut().enumerate() {
                        *x = simd.load(from.add((i % M * N + j) * phase + i / M * tiles));
                    }
                    *column = F::input(simd, input);
                }
                for i in 0..N {
                    let mut line = [simd.splat(0.0); N];
                    for (x, column) in line.iter_mut().zip(&columns) {
                        *x = column[i];
                    }
                    for (j, &point) in F::input(simd, line).iter().enumerate() {
                        store_up_to(simd, count - first, to.add((i * N + j) * plane), point);
                    }
                }
            }
        }
    }

    /// The matrix products at all points.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        tiles: &[RowTile],
        count: usize,
        buffers: &mut Buffers<'_>,
    ) {
        for point in 0..self.points() {
            let columns = ColumnPanel {
                b: buffers.transformed,
                offsets: &self.offsets,
                first: point * self.plane(),
                count,
                last_offset: self.inner.saturating_sub(1) * self.stride(),
                accumulate: false,
                prefetches: [Prefetch::NONE; 3],
            };
            for &tile in tiles {
                let sums =
                    &mut buffers.sums[point * self.sums_plane() + tile.row * self.stride()..];
                let weights = &self.weights.batch_tile(point, tile);
                multiply_tile(simd, tile.height, weights, &columns, sums, self.stride());
            }
        }
    }

    /// Transforms the sums of a piece back, and makes the rows of its output contiguous.
    #[inline(always)]
    fn transform_output<S: Simd, F: Transform<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        tile: RowTile,
        piece: &Piece,
        buffers: &mut Buffers<'_>,
    ) {
        let (tiles, width) = (self.columns.tiles, self.columns.output);
        let count = piece.tile_rows.len() * tiles;
        let rows = self.output_rows(&piece.tile_rows);
        let (plane, row) = (self.sums_plane(), M * self.line());
        let last = piece.first + count.next_multiple_of(S::LANES);
        let end = (N * N - 1) * plane + (tile.row + tile.height - 1) * self.stride() + last;
        assert!(tile.height > 0 && end <= buffers.sums.len());
        assert!(count.next_multiple_of(S::LANES) <= self.line() && M * row <= buffers.lines.len());
        assert!(width <= M * tiles && rows.len() <= M * piece.tile_rows.len());
        assert!(rows.len() * width <= self.piece_stride());
        assert!(tile.height * self.piece_stride() <= buffers.piece.len());
        for channel in 0..tile.height {
            let sums = (tile.row + channel) * self.stride() + piece.first;
            for first in (0..count).step_by(S::LANES) {
                // SAFETY: the last vector that is read ends inside of the sums, by the first
                // assertion; those that are written end inside of the lines, by the second.
                #[allow(unsafe_code)]
                unsafe {
                    let from = buffers.sums.as_ptr().add(sums + first);
                    let to = buffers.lines.as_mut_ptr().add(M * first);
                    let mut columns = [[simd.splat(0.0); M]; N];
                    for (j, column) in columns.iter_mut().enumerate() {
                        let mut sums = [simd.splat(0.0); N];
                        for (i, sum) in sums.iter_mut().enumerate() {
                            *sum = simd.load(from.add((i * N + j) * plane));
                        }
                        *column = F::output(simd, sums);
                    }
                    for i in 0..M {
                        let mut line = [simd.splat(0.0); N];
                        for (x, column) in line.iter_mut().zip(&columns) {
                            *x = column[i];
                        }
                        let interleaved = simd.interleave_all(F::output(simd, line));
                        for (part, &elements) in interleaved.iter().enumerate() {
                            simd.store(to.add(i * row + part * S::LANES), elements);
                        }
                    }
                }
            }
            for line in 0..rows.len() {
                // SAFETY: a row of tiles has at least as many elements as a row of the output; the
                // rows of the piece are inside of it, by the last assertions.
                #[allow(unsafe_code)]
                unsafe {
                    let from = buffers.lines.as_ptr();
                    let from = from.add(line % M * row + line / M * M * tiles);
                    let to = buffers.piece.as_mut_ptr();
                    let to = to.add(channel * self.piece_stride() + line * width);
                    copy_forward(simd, from, to, width);
                }
            }
        }
    }

    fn output_rows(&self, tile_rows: &Range<usize>) -> Range<usize> {
        let size = self.size.tile();
        tile_rows.start * size..self.rows.output.min(tile_rows.end * size)
    }

    /// Applies the epilogue to a piece of some channels.
    fn apply_epilogue(
        &self,
        image: &ImageIo<'_>,
        epilogue: &BoundEpilogue<'_>,
        tile: RowTile,
        piece: &Piece,
        buffers: &Buffers<'_>,
    ) {
        let (rows, width) = (self.output_rows(&piece.tile_rows), self.columns.output);
        let plane = self.rows.output * width;
        let span = Span {
            channels: tile.row..tile.row + tile.height,
            first: rows.start * width,
            len: rows.len() * width,
        };
        let start = tile.row * plane + span.first;
        let y = image.y.floats;
        assert!(y.len() == self.outer * plane && span.len <= self.piece_stride());
        assert!(tile.height * self.piece_stride() <= buffers.piece.len());
        // SAFETY: both hold the span, by the assertions; the piece or the channels of the tile are
        // in this thread's work slice.
        #[allow(unsafe_code)]
        unsafe {
            let from = StridedPtr::new(buffers.piece.as_ptr(), self.piece_stride());
            let to = StridedPtr::new(y.start().wrapping_add(start), plane);
            epilogue.apply(span, from, to);
        }
    }
}
