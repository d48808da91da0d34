//! What tiles meet, sorted: for each row and each column of it a phase, in which neighbouring
//! elements belong to neighbouring tiles.

use super::{SpatialAxis, TileSize};
use crate::simd::{Isa, Simd, SimdTask};
use std::ops::Range;

/// How lines of the input become vectors of neighbouring columns. Think of every `M`-th line with
/// its padding, as long as the columns of all tiles, one after the other; each vector of that has
/// elements of a line or of several.
#[derive(Debug, Default)]
pub(super) struct Deinterleave {
    segments: Vec<Segment>,
    /// For each vector, where its segments begin, and where the last ones end.
    starts: Vec<usize>,
    /// Elements of a line.
    width: usize,
    /// If lines are whole vectors, how many a line has: all lines have the segments of the first.
    of_line: Option<usize>,
}

/// The elements of a line in a vector.
#[derive(Debug, Clone, Copy)]
struct Segment {
    tile_row: usize,
    /// Where the first lane would be in the line.
    offset: isize,
    /// Which lanes are elements of the line.
    own: u16,
    /// The same of the columns that lie `M` further: those of the next tile.
    next_tile: u16,
}

impl Deinterleave {
    /// For as many rows of tiles.
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
    /// Elements `lanes` of a vector that begins at column `column`, counted from the padding.
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
        // A tile takes `M` columns, so that whole vectors of tiles take `M` vectors of columns.
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

/// A channel of the input, of which some rows of tiles are sorted.
pub(super) struct Plane<'a> {
    pub(super) x: &'a [f32],
    /// The first line that is met, counted from the padding, and the padding.
    pub(super) first: usize,
    pub(super) pad: usize,
}

impl Plane<'_> {
    /// Where the first of `width` elements of a line is, counted from the first line that is met,
    /// and all bits if it is there; none if the line lies in the padding.
    #[inline(always)]
    fn line(&self, line: usize, width: usize) -> (*const f32, u16) {
        // A line before the plane has a number that is too large by far, and so has what it is
        // multiplied to, unless it wraps around more than once: there is no such padding, since it
        // is shorter than the output.
        let start = (self.first + line)
            .wrapping_sub(self.pad)
            .wrapping_mul(width);
        let inside = u16::from(start < self.x.len()).wrapping_neg();
        (self.x.as_ptr().wrapping_add(start), inside)
    }
}

impl Deinterleave {
    /// Sorts what `tile_rows` rows of `tiles` tiles meet: phase `(i, j)` begins at
    /// `(i · N + j) · phase` of `to`. The phases of the first `N - M` rows have one row of tiles
    /// more; row `M + i` of what a tile meets is row `i` of what the tile below meets.
    #[inline(always)]
    pub(super) fn run<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        plane: &Plane<'_>,
        [tile_rows, tiles]: [usize; 2],
        to: &mut [f32],
        phase: usize,
    ) {
        // The elements whose bits are set are inside of a line.
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
                for (j, &sorted) in own.iter().chain(&next_tile).take(N).enumerate() {
                    // SAFETY: the phase holds the vector, by the assertion.
                    #[allow(unsafe_code)]
                    unsafe {
                        simd.store(to.as_mut_ptr().add((i * N + j) * phase + first), sorted);
                    }
                }
            }
        }
    }
}

/// Lines of whole vectors, every `M`-th, one vector after the other.
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

/// The elements of a segment, those of the next tile next_tile them; what is not of it stays.
#[inline(always)]
fn load<S: Simd, const M: usize>(
    simd: S,
    (line, inside): (*const f32, u16),
    segment: &Segment,
    (own, next_tile): (S::Vector, S::Vector),
) -> (S::Vector, S::Vector) {
    let from = line.wrapping_offset(segment.offset);
    // SAFETY: if the line is inside of the plane, so are the elements whose bits are set; otherwise
    // none are.
    #[allow(unsafe_code)]
    unsafe {
        (
            simd.load_where(segment.own & inside, from, own),
            simd.load_where(segment.next_tile & inside, from.wrapping_add(M), next_tile),
        )
    }
}
