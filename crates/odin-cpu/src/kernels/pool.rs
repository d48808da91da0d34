//! Pooling, row by row: the lines that a row of windows meets become one line first, whose
//! elements then become one for each window.

use super::pool_window::PoolWindow;
use crate::kernels::reduction::Sum;
use crate::kernels::reduction::{Combine, MaxOrNan, combine_into};
use crate::kernels::{ImageIo, SimdKernel, WorkSlice};
use crate::memory::{Scratch, ScratchSize};
use crate::simd::{Isa, Simd};
use odin_graph::op::{self, Window};

/// [`odin_graph::Op::MaxPool`] and [`odin_graph::Op::AvgPool`].
#[derive(Debug)]
pub(crate) struct Pool {
    isa: Isa,
    lines: PoolWindow,
    /// Of a mean, the divisor at each position of a channel.
    counts: Option<Vec<f32>>,
}

impl Pool {
    /// Shapes of one image: `[1, C, spatial...]`.
    pub(crate) fn max(isa: Isa, window: &Window, x: &[usize], y: &[usize]) -> Self {
        Self {
            isa,
            lines: PoolWindow::new(window, &x[2..], &y[2..]),
            counts: None,
        }
    }

    /// As [`Pool::max`].
    pub(crate) fn mean(isa: Isa, pool: &op::AvgPool, x: &[usize], y: &[usize]) -> Self {
        let lines = PoolWindow::new(&pool.window, &x[2..], &y[2..]);
        let counts = match pool.count_padding {
            true => {
                let taps: usize = pool.window.kernel.iter().product();
                vec![taps as f32; lines.rows * lines.row]
            }
            false => counts(&lines),
        };
        Self {
            isa,
            lines,
            counts: Some(counts),
        }
    }
}

/// How many elements each window meets.
fn counts(lines: &PoolWindow) -> Vec<f32> {
    let inside = |i: usize| {
        let meets = lines.entries.iter().filter(|e| e.positions.contains(&i));
        meets.count()
    };
    let along: Vec<usize> = (0..lines.row).map(inside).collect();
    let rows = (0..lines.rows).map(|row| lines.met(row).len());
    rows.flat_map(|lines| along.iter().map(move |&n| (lines * n) as f32))
        .collect()
}

impl SimdKernel for Pool {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.lines.line + self.lines.scratch())
    }

    #[inline(always)]
    fn run_image<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        match self.counts {
            Some(_) => self.rows(simd, Sum, image, scratch, slice),
            None => self.rows(simd, MaxOrNan, image, scratch, slice),
        }
    }
}

impl Pool {
    /// Threads share the rows of all channels.
    #[inline(always)]
    fn rows<S: Simd, F: Combine>(
        &self,
        simd: S,
        combine: F,
        image: &ImageIo<'_>,
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        let (x, y) = (image.x.floats(0), image.y.floats);
        let lines = &self.lines;
        let (line, room) = scratch.floats.as_mut_slice().split_at_mut(lines.line);
        let room = &mut room[..lines.scratch()];
        let own = slice.of(y.len() / lines.row.max(1));
        let rows = lines.rows.max(1);
        let (mut channel, mut row) = (own.start / rows, own.start % rows);
        for i in own {
            let x = &x[channel * lines.lines * lines.line..];
            // SAFETY: the row is this thread's own.
            #[allow(unsafe_code)]
            let y = unsafe { y.part(i * lines.row..(i + 1) * lines.row) };
            line.fill(F::IDENTITY);
            for met in lines.met(row) {
                combine_into(simd, combine, line, &x[met * lines.line..]);
            }
            let phases = lines.deinterleave(line, room);
            y.fill(F::IDENTITY);
            for entry in &lines.entries {
                let own = &mut y[entry.positions.clone()];
                combine_into(simd, combine, own, &phases[entry.start..]);
            }
            if let Some(counts) = &self.counts {
                let counts = &counts[row * lines.row..];
                y.iter_mut().zip(counts).for_each(|(y, count)| *y /= count);
            }
            row += 1;
            if row == rows {
                (channel, row) = (channel + 1, 0);
            }
        }
    }
}

/// [`odin_graph::Op::MaxPoolGrad`].
#[derive(Debug)]
pub(crate) struct MaxPoolGrad {
    isa: Isa,
    lines: PoolWindow,
}

impl MaxPoolGrad {
    /// Shapes of one image: `[1, C, spatial...]`.
    pub(crate) fn new(isa: Isa, window: &Window, x: &[usize], dy: &[usize]) -> Self {
        Self {
            isa,
            lines: PoolWindow::new(window, &x[2..], &dy[2..]),
        }
    }
}

impl SimdKernel for MaxPoolGrad {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: self.lines.scratch() + 2 * self.lines.row,
            indices: self.lines.row,
        }
    }

    /// Threads share the channels.
    #[inline(always)]
    fn run_image<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        let (x, dy) = (image.x.floats(0), image.x.floats(1));
        let lines = &self.lines;
        let plane = lines.lines * lines.line;
        for channel in slice.of(image.y.floats.len() / plane.max(1)) {
            let x = &x[channel * plane..][..plane];
            // SAFETY: the channel is this thread's own.
            #[allow(unsafe_code)]
            let dx = unsafe { image.y.floats.part(channel * plane..(channel + 1) * plane) };
            dx.fill(0.0);
            for row in 0..lines.rows {
                let dy = &dy[(channel * lines.rows + row) * lines.row..][..lines.row];
                self.winners(simd, x, row, scratch);
                for (&dy, &place) in dy.iter().zip(self.places(row, scratch)) {
                    if let Some(dx) = dx.get_mut(place) {
                        *dx += dy;
                    }
                }
            }
        }
    }
}

/// Instead of an origin that is not known yet.
const NONE: u32 = u32::MAX;

impl MaxPoolGrad {
    /// For each position of a row, the origin of the window's entry that meets the first largest
    /// element, see [`PoolWindow::origin`]; [`NONE`] where all are infinitely small. Origins are carried
    /// along in vectors as if they were numbers, with which nothing is computed.
    #[inline(always)]
    fn winners<S: Simd>(&self, simd: S, x: &[f32], row: usize, scratch: &mut Scratch) {
        let lines = &self.lines;
        let (winners, rest) = scratch.floats.as_mut_slice().split_at_mut(lines.row);
        let (best, room) = rest.split_at_mut(lines.row);
        best.fill(f32::NEG_INFINITY);
        winners.fill(f32::from_bits(NONE));
        for &met in lines.met(row) {
            let line = &x[met * lines.line..][..lines.line];
            let phases = lines.deinterleave(line, &mut room[..lines.scratch()]);
            for entry in &lines.entries {
                let own = entry.positions.clone();
                let number = f32::from_bits(lines.origin(met, entry));
                let (best, winners) = (&mut best[own.clone()], &mut winners[own]);
                contend(simd, best, winners, &phases[entry.start..], number);
            }
        }
    }

    /// For each position of a row, where in the channel its winner lies; beyond it where there is
    /// none.
    #[inline(always)]
    fn places<'a>(&self, row: usize, scratch: &'a mut Scratch) -> &'a [usize] {
        let lines = &self.lines;
        let winners = &scratch.floats.as_slice()[..lines.row];
        let places = &mut scratch.indices[..lines.row];
        for (i, (place, winner)) in places.iter_mut().zip(winners).enumerate() {
            *place = match winner.to_bits() {
                NONE => lines.first(row, i).unwrap_or(usize::MAX),
                origin => lines.place(origin, i),
            };
        }
        places
    }
}

/// Lets candidates take the place of what is best so far, and their number that of the winner,
/// where they are larger. What is not a number wins over every number.
#[inline(always)]
fn contend<S: Simd>(simd: S, best: &mut [f32], winners: &mut [f32], x: &[f32], number: f32) {
    let len = best.len();
    assert!(winners.len() == len && x.len() >= len);
    let (best, winners, x) = (best.as_mut_ptr(), winners.as_mut_ptr(), x.as_ptr());
    let (number, rest) = (simd.splat(number), len % S::LANES);
    for i in (0..len - rest).step_by(S::LANES) {
        // SAFETY: a whole vector inside of all three.
        #[allow(unsafe_code)]
        unsafe {
            let (old, candidate) = (simd.load(best.add(i)), simd.load(x.add(i)));
            let winner = simd.load(winners.add(i));
            let (new, winner) = larger(simd, [old, winner], [candidate, number]);
            simd.store(best.add(i), new);
            simd.store(winners.add(i), winner);
        }
    }
    if rest > 0 {
        let i = len - rest;
        // SAFETY: the last elements of all three.
        #[allow(unsafe_code)]
        unsafe {
            let old = simd.load_first(rest, best.add(i));
            let candidate = simd.load_first(rest, x.add(i));
            let winner = simd.load_first(rest, winners.add(i));
            let (new, winner) = larger(simd, [old, winner], [candidate, number]);
            simd.store_first(rest, best.add(i), new);
            simd.store_first(rest, winners.add(i), winner);
        }
    }
}

/// Of two elements, each with a number, the larger one, the first one where they are equal.
#[inline(always)]
fn larger<S: Simd>(
    simd: S,
    [old, winner]: [S::Vector; 2],
    [candidate, number]: [S::Vector; 2],
) -> (S::Vector, S::Vector) {
    // Where the old one is not a number it stays, though no comparison holds.
    let (is_number, stays) = (simd.ge(old, old), simd.ge(old, candidate));
    let candidate = simd.select(is_number, candidate, old);
    let number = simd.select(is_number, number, winner);
    (
        simd.select(stays, old, candidate),
        simd.select(stays, winner, number),
    )
}
