//! Deinterleaves input rows by the tile stride, so that consecutive lanes belong to consecutive
//! tiles: one phase per row and column of an input tile.

use super::{SpatialAxis, TileSize};
use crate::simd::{Isa, Simd, SimdTask};
use std::ops::Range;

/// How input rows are loaded as vectors of neighbouring columns. Take every `M`-th row with its
/// padding, as long as the columns of all tiles, and concatenate them; a vector of the result
/// consists of segments of one row or of several.
#[derive(Debug, Default)]
pub(super) struct Deinterleave {
    segments: Vec<Segment>,
    /// For each vector the number of its first segment; then the number of segments.
    starts: Vec<usize>,
    /// The length of an input row.
    width: usize,
    /// If rows are whole vectors, the number of vectors per row: all rows then have the segments of
    /// the first.
    of_line: Option<usize>,
}

/// The part of a vector that is loaded from one input row.
#[derive(Debug, Clone, Copy)]
struct Segment {
    tile_row: usize,
    /// The column of lane 0.
    offset: isize,
    /// The lanes whose columns are inside of the row.
    own: u16,
    /// The lanes whose columns, `M` further, are inside of the row: those of the next tile.
    next_tile: u16,
}

impl Deinterleave {
    /// For `tile_rows` rows of tiles.
    pub(super) fn new(isa: Isa, size: TileSize, line: &SpatialAxis, tile_rows: usize) -> Self {
        isa.dispatch(PlanSegments {
            tile: size.tile(),
            line,
            tile_rows,
        })
    }
}

/// See [`Deinterleave`].
struct PlanSegments<'a> {
    tile: usize,
    line: &'a SpatialAxis,
    tile_rows: usize,
}

impl PlanSegments<'_> {
    /// The lanes `lanes` of a vector that begins at a column, which counts from the start of the
    /// padding.
    fn segment(&self, tile_row: usize, column: isize, lanes: &Range<usize>) -> Segment {
        let offset = column - self.line.pad as isize;
        let bits = |offset: isize| {
            let is_inside = |&lane: &usize| {
                let at = offset + lane as isize;
                at >= 0 && (at as usize) < self.line.input
            };
            let inside = lanes.clone().filter(is_inside);
            inside.fold(0, |bits, lane| bits | 1 << lane)
        };
        Segment {
            tile_row,
            offset,
            own: bits(offset),
            next_tile: bits(offset + self.tile as isize),
        }
    }
}

impl SimdTask for PlanSegments<'_> {
    type Output = Deinterleave;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Deinterleave {
        let row = self.tile * self.line.tiles;
        let mut deinterleave = Deinterleave::default();
        // A tile takes `M` columns, so that a vector of tiles takes `M` vectors of columns.
        let columns = (self.tile_rows * self.line.tiles).next_multiple_of(S::LANES) * self.tile;
        for first in (0..columns).step_by(S::LANES) {
            deinterleave.starts.push(deinterleave.segments.len());
            let mut lane = 0;
            while lane < S::LANES && first + lane < self.tile_rows * row {
                let (tile_row, column) = ((first + lane) / row, (first + lane) % row);
                let end = S::LANES.min(lane + row - column);
                let first_lane = column as isize - lane as isize;
                let segment = self.segment(tile_row, first_lane, &(lane..end));
                deinterleave.segments.push(segment);
                lane = end;
            }
        }
        deinterleave.starts.push(deinterleave.segments.len());
        deinterleave.width = self.line.input;
        deinterleave.of_line = row.is_multiple_of(S::LANES).then_some(row / S::LANES);
        deinterleave
    }
}

/// An input channel, of which some rows of tiles are deinterleaved.
pub(super) struct Plane<'a> {
    pub(super) x: &'a [f32],
    /// The first input row, which counts from the start of the padding, and the padding.
    pub(super) first: usize,
    pub(super) pad: usize,
}

impl Plane<'_> {
    /// The address of an input row, which counts from `first`, of `width` elements, and a mask of
    /// all lanes; of none if the row is padding.
    #[inline(always)]
    fn line(&self, line: usize, width: usize) -> (*const f32, u16) {
        // A row before the plane wraps to a huge index, and so does its product with the width: the
        // padding is shorter than the output, so that the product wraps only once.
        let start = (self.first + line)
            .wrapping_sub(self.pad)
            .wrapping_mul(width);
        let inside = u16::from(start < self.x.len()).wrapping_neg();
        (self.x.as_ptr().wrapping_add(start), inside)
    }
}

impl Deinterleave {
    /// Deinterleaves the receptive field of `tile_rows` rows of `tiles` tiles: phase `(i, j)`
    /// begins at `(i · N + j) · phase` of `to`. The phases of the first `N - M` rows have one more
    /// row of tiles, since row `M + i` of an input tile is row `i` of the tile below.
    #[inline(always)]
    pub(super) fn run<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        plane: &Plane<'_>,
        [tile_rows, tiles]: [usize; 2],
        to: &mut [f32],
        phase: usize,
    ) {
        // So that lanes in the masks are inside of a row.
        assert!(plane.x.len().is_multiple_of(self.width));
        for i in 0..M {
            let rows = tile_rows + usize::from(i < N - M);
            let count = (rows * tiles).next_multiple_of(S::LANES);
            assert!(count <= phase && to.len() >= M * N * phase);
            let mut lines = self.of_line.map(|chunks| Lines {
                segments: &self.segments[..chunks],
                chunk: 0,
                line: i,
                width: self.width,
                at: plane.line(i, self.width),
            });
            for first in (0..count).step_by(S::LANES) {
                let (mut own, mut next_tile) = ([simd.splat(0.0); M], [simd.splat(0.0); M]);
                for (v, (own, next_tile)) in own.iter_mut().zip(&mut next_tile).enumerate() {
                    match &mut lines {
                        Some(lines) => {
                            (*own, *next_tile) = lines.next::<S, M>(simd, plane);
                        }
                        None => {
                            let vector = M * first / S::LANES + v;
                            let segments = self.starts[vector]..self.starts[vector + 1];
                            for segment in &self.segments[segments] {
                                let at = plane.line(M * segment.tile_row + i, self.width);
                                let so_far = (*own, *next_tile);
                                (*own, *next_tile) = load::<S, M>(simd, at, segment, so_far);
                            }
                        }
                    }
                }
                let (own, next_tile) =
                    (simd.deinterleave_all(own), simd.deinterleave_all(next_tile));
                for (j, &phase_vector) in own.iter().chain(&next_tile).take(N).enumerate() {
                    // SAFETY: the phase holds the vector, by the assertion.
                    #[allow(unsafe_code)]
                    unsafe {
                        simd.store(
                            to.as_mut_ptr().add((i * N + j) * phase + first),
                            phase_vector,
                        );
                    }
                }
            }
        }
    }
}

/// Every `M`-th row of whole vectors, one vector after the other.
struct Lines<'a> {
    segments: &'a [Segment],
    chunk: usize,
    line: usize,
    width: usize,
    at: (*const f32, u16),
}

impl Lines<'_> {
    #[inline(always)]
    fn next<S: Simd, const M: usize>(
        &mut self,
        simd: S,
        plane: &Plane<'_>,
    ) -> (S::Vector, S::Vector) {
        let nothing = (simd.splat(0.0), simd.splat(0.0));
        let found = load::<S, M>(simd, self.at, &self.segments[self.chunk], nothing);
        self.chunk += 1;
        if self.chunk == self.segments.len() {
            (self.chunk, self.line) = (0, self.line + M);
            self.at = plane.line(self.line, self.width);
        }
        found
    }
}

/// Loads the lanes of a segment, and those of the next tiles; other lanes keep their values.
#[inline(always)]
fn load<S: Simd, const M: usize>(
    simd: S,
    (line, inside): (*const f32, u16),
    segment: &Segment,
    (own, next_tile): (S::Vector, S::Vector),
) -> (S::Vector, S::Vector) {
    let from = line.wrapping_offset(segment.offset);
    // SAFETY: if the row is inside of the plane, so are the lanes in the masks; otherwise the masks
    // are empty.
    #[allow(unsafe_code)]
    unsafe {
        (
            simd.load_where(segment.own & inside, from, own),
            simd.load_where(segment.next_tile & inside, from.wrapping_add(M), next_tile),
        )
    }
}
