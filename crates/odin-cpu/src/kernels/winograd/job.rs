//! A share of the work: what tiles meet is sorted and transformed, multiplied in each place of
//! the transforms, transformed back, and finished.
//!
//! The lanes of a vector are neighbouring tiles, row after row of them without a gap: on small
//! images a row of tiles is much shorter than a vector.

use super::filter::{Filter, Four, Two};
use super::sort::Plane;
use super::{MANY, Size, TRANSFORM, Winograd};
use crate::kernels::conv::move_down;
use crate::kernels::{Image, Share};
use crate::pointwise::{Bound, Runs, Strided};
use crate::product::{Columns, Tile, Wanted, multiply};
use crate::simd::{Simd, Work, store_up_to};
use std::ops::Range;

/// A share of a convolution of some images.
pub(super) struct Job<'a> {
    pub(super) winograd: &'a Winograd,
    pub(super) images: &'a [Image<'a>],
    pub(super) scratch: &'a mut [f32],
    pub(super) share: Share,
}

/// Some rows of tiles of an image, and where the first tile lies among those of a block.
struct Piece {
    image: usize,
    tile_rows: Range<usize>,
    first: usize,
}

/// The memory of a block; [`Winograd::room`] has the sizes.
struct Room<'a> {
    /// What a piece meets of a channel, see [`super::sort::Sorting::sort`].
    phases: &'a mut [f32],
    transformed: &'a mut [f32],
    sums: &'a mut [f32],
    /// For each of `M` rows of a tile of outputs, tile after tile.
    lines: &'a mut [f32],
    piece: &'a mut [f32],
}

impl Work for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.winograd.size {
            Size::Two => self.compute::<S, Two, 2, 4>(simd),
            Size::Four => self.compute::<S, Four, 4, 6>(simd),
        }
    }
}

impl Job<'_> {
    #[inline(always)]
    fn compute<S: Simd, F: Filter<M, N>, const M: usize, const N: usize>(self, simd: S) {
        let Job {
            winograd,
            images,
            share,
            ..
        } = self;
        let units = images.len() * winograd.units_per_image();
        let [own_units, own_channels] = match winograd.shares_channels(units, share.count, S::LANES)
        {
            true => [Share::WHOLE, share],
            false => [share, Share::WHOLE],
        };
        let tiles = winograd.weights.tiles();
        let tiles = &tiles[own_channels.of(tiles.len())];
        if tiles.is_empty() {
            return;
        }
        let own = own_units.of(units);
        let bound: Vec<Bound<'_>> = images.iter().map(|image| winograd.bind(image)).collect();

        let [phases, transformed, sums, lines, _] = winograd.room();
        let (phases, rest) = self.scratch.split_at_mut(phases);
        let (transformed, rest) = rest.split_at_mut(transformed);
        let (sums, rest) = rest.split_at_mut(sums);
        let (lines, piece) = rest.split_at_mut(lines);
        let mut room = Room {
            phases,
            transformed,
            sums,
            lines,
            piece,
        };
        let blocks = Share {
            index: 0,
            count: own.len().div_ceil(winograd.units),
        };
        for index in 0..blocks.count {
            let block = Share { index, ..blocks }.of(own.len());
            let pieces = winograd.pieces(own.start + block.start..own.start + block.end);
            let columns =
                pieces.iter().map(|p| p.tile_rows.len()).sum::<usize>() * winograd.columns.tiles;
            for channel in 0..winograd.inner {
                for piece in &pieces {
                    let x = images[piece.image].x.floats(0);
                    winograd.sort::<S, M, N>(simd, x, channel, piece, &mut room);
                    winograd.transform_input::<S, F, M, N>(simd, channel, piece, &mut room);
                }
            }
            winograd.multiply(simd, tiles, columns, &mut room);
            for &tile in tiles {
                for piece in &pieces {
                    winograd.transform_output::<S, F, M, N>(simd, tile, piece, &mut room);
                    winograd.finish(
                        &images[piece.image],
                        &bound[piece.image],
                        tile,
                        piece,
                        &room,
                    );
                }
            }
        }
    }
}

impl Winograd {
    /// Whether threads had better share the channels of the output than the units. They have where
    /// the weights are many, so that each reads its own. Else it is a question of time: that of
    /// transforming a vector of tiles of a channel and that of multiplying it with the weights of
    /// [`TRANSFORM`] channels are about the same; each thread transforms all of the input if they
    /// share channels, and works with vectors that are partly empty if they share units.
    fn shares_channels(&self, units: usize, threads: usize, lanes: usize) -> bool {
        let many_weights = self.outer * self.inner * self.places() > MANY;
        let vectors = |units: usize| (units * self.unit_tiles()).div_ceil(lanes);
        let cost = |units: usize, outer: usize| {
            vectors(units) * (TRANSFORM * (self.inner + outer) + self.inner * outer)
        };
        let by_channels = cost(
            units,
            self.outer
                .div_ceil(threads)
                .next_multiple_of(self.weights.height()),
        );
        many_weights || units < threads || by_channels < cost(units.div_ceil(threads), self.outer)
    }

    fn bind<'a>(&'a self, image: &Image<'a>) -> Bound<'a> {
        let plane = self.rows.output * self.columns.output;
        self.after
            .bind(self.isa, &image.x, image.y.after, [self.outer, plane])
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

    /// Sorts what a piece meets of a channel into `room.phases`.
    #[inline(always)]
    fn sort<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        x: &[f32],
        channel: usize,
        piece: &Piece,
        room: &mut Room<'_>,
    ) {
        let size = self.rows.input * self.columns.input;
        let plane = Plane {
            x: &x[channel * size..][..size],
            first: M * piece.tile_rows.start,
            pad: self.rows.pad,
        };
        let rows = [piece.tile_rows.len(), self.columns.tiles];
        self.sorting
            .sort::<S, M, N>(simd, &plane, rows, room.phases, self.phase());
    }

    /// Transforms what a piece meets of a channel, which [`Winograd::sort`] has sorted.
    #[inline(always)]
    fn transform_input<S: Simd, F: Filter<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        channel: usize,
        piece: &Piece,
        room: &mut Room<'_>,
    ) {
        let (tiles, phase) = (self.columns.tiles, self.phase());
        let count = piece.tile_rows.len() * tiles;
        assert!(count.next_multiple_of(S::LANES) + tiles <= phase);
        assert!(room.phases.len() >= M * N * phase);
        let (plane, to) = (self.plane(), channel * self.stride() + piece.first);
        assert!((N * N - 1) * plane + to + count <= room.transformed.len());
        for first in (0..count).step_by(S::LANES) {
            // SAFETY: the furthest vector that is read begins a row of tiles further in the last
            // phase, and ends inside of it, by the first assertion. What is written are the tiles
            // of the piece, inside by the last one.
            #[allow(unsafe_code)]
            unsafe {
                let from = room.phases.as_ptr().add(first);
                let to = room.transformed.as_mut_ptr().add(to + first);
                let mut columns = [[simd.splat(0.0); N]; N];
                for (j, column) in columns.iter_mut().enumerate() {
                    let mut met = [simd.splat(0.0); N];
                    for (i, x) in met.iter_mut().enumerate() {
                        *x = simd.load(from.add((i % M * N + j) * phase + i / M * tiles));
                    }
                    *column = F::input(simd, met);
                }
                for i in 0..N {
                    let mut line = [simd.splat(0.0); N];
                    for (x, column) in line.iter_mut().zip(&columns) {
                        *x = column[i];
                    }
                    for (j, &place) in F::input(simd, line).iter().enumerate() {
                        store_up_to(simd, count - first, to.add((i * N + j) * plane), place);
                    }
                }
            }
        }
    }

    /// The products in all places.
    #[inline(always)]
    fn multiply<S: Simd>(&self, simd: S, tiles: &[Tile], count: usize, room: &mut Room<'_>) {
        for place in 0..self.places() {
            let columns = Columns {
                b: room.transformed,
                offsets: &self.offsets,
                first: place * self.plane(),
                count,
                last_offset: self.inner.saturating_sub(1) * self.stride(),
                continued: false,
                soon: [Wanted::NOTHING; 3],
            };
            for &tile in tiles {
                let sums = &mut room.sums[place * self.sums_plane() + tile.row * self.stride()..];
                let weights = &self.weights.tile_of(place, tile);
                multiply(simd, tile.height, weights, &columns, sums, self.stride());
            }
        }
    }

    /// Transforms the sums of a piece, and puts the rows of its output one after the other.
    #[inline(always)]
    fn transform_output<S: Simd, F: Filter<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        tile: Tile,
        piece: &Piece,
        room: &mut Room<'_>,
    ) {
        let (tiles, width) = (self.columns.tiles, self.columns.output);
        let count = piece.tile_rows.len() * tiles;
        let rows = self.output_rows(&piece.tile_rows);
        let (plane, row) = (self.sums_plane(), M * self.line());
        let last = piece.first + count.next_multiple_of(S::LANES);
        let end = (N * N - 1) * plane + (tile.row + tile.height - 1) * self.stride() + last;
        assert!(tile.height > 0 && end <= room.sums.len());
        assert!(count.next_multiple_of(S::LANES) <= self.line() && M * row <= room.lines.len());
        assert!(width <= M * tiles && rows.len() <= M * piece.tile_rows.len());
        assert!(rows.len() * width <= self.piece_stride());
        assert!(tile.height * self.piece_stride() <= room.piece.len());
        for channel in 0..tile.height {
            let sums = (tile.row + channel) * self.stride() + piece.first;
            for first in (0..count).step_by(S::LANES) {
                // SAFETY: the last vector that is read ends inside of the sums, by the first
                // assertion; those that are written end inside of the lines, by the second.
                #[allow(unsafe_code)]
                unsafe {
                    let from = room.sums.as_ptr().add(sums + first);
                    let to = room.lines.as_mut_ptr().add(M * first);
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
                        let together = simd.together(F::output(simd, line));
                        for (part, &elements) in together.iter().enumerate() {
                            simd.store(to.add(i * row + part * S::LANES), elements);
                        }
                    }
                }
            }
            for line in 0..rows.len() {
                // SAFETY: a row of tiles has as many elements as a row of the output, or more; the
                // rows of the piece are inside of it, by the last assertions.
                #[allow(unsafe_code)]
                unsafe {
                    let from = room.lines.as_ptr();
                    let from = from.add(line % M * row + line / M * M * tiles);
                    let to = room.piece.as_mut_ptr();
                    let to = to.add(channel * self.piece_stride() + line * width);
                    move_down(simd, from, to, width);
                }
            }
        }
    }

    fn output_rows(&self, tile_rows: &Range<usize>) -> Range<usize> {
        let size = self.size.tile();
        tile_rows.start * size..self.rows.output.min(tile_rows.end * size)
    }

    /// Applies what comes after the convolution to a piece of some channels.
    fn finish(
        &self,
        image: &Image<'_>,
        after: &Bound<'_>,
        tile: Tile,
        piece: &Piece,
        room: &Room<'_>,
    ) {
        let (rows, width) = (self.output_rows(&piece.tile_rows), self.columns.output);
        let plane = self.rows.output * width;
        let runs = Runs {
            channels: tile.row..tile.row + tile.height,
            first: rows.start * width,
            len: rows.len() * width,
        };
        let start = tile.row * plane + runs.first;
        let y = image.y.floats;
        assert!(y.len() == self.outer * plane && runs.len <= self.piece_stride());
        assert!(tile.height * self.piece_stride() <= room.piece.len());
        // SAFETY: both hold the runs, by the assertions; the piece or the channels of the tile are
        // this thread's own.
        #[allow(unsafe_code)]
        unsafe {
            let from = Strided::new(room.piece.as_ptr(), self.piece_stride());
            let to = Strided::new(y.start().wrapping_add(start), plane);
            after.apply(runs, from, to);
        }
    }
}
