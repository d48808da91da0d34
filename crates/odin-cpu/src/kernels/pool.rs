//! Pooling, output row by output row: the input rows in the receptive field are reduced to one row,
//! whose elements are then reduced window by window.

use super::pool_window::PoolWindow;
use crate::kernels::reduction::{Combine, MaxOrNan, Sum, combine_into};
use crate::kernels::{ImageIo, SimdKernel, Worker};
use crate::memory::{Scratch, ScratchSize, filled};
use crate::simd::{Isa, Simd};
use odin_graph::op::{self, Window};

/// [`odin_graph::Op::MaxPool`] and [`odin_graph::Op::AvgPool`].
#[derive(Debug)]
pub(crate) struct Pool {
    isa: Isa,
    window: PoolWindow,
    /// For the mean, the divisor at each position of a channel.
    counts: Option<Vec<f32>>,
}

impl Pool {
    /// Shapes of one image: `[1, C, spatial...]`.
    /// `None` if the image is too large.
    pub(crate) fn max(isa: Isa, window: &Window, x: &[usize], y: &[usize]) -> Option<Self> {
        Some(Self {
            isa,
            window: PoolWindow::new(window, &x[2..], &y[2..])?,
            counts: None,
        })
    }

    /// As [`Pool::max`].
    pub(crate) fn mean(isa: Isa, pool: &op::AvgPool, x: &[usize], y: &[usize]) -> Option<Self> {
        let window = PoolWindow::new(&pool.window, &x[2..], &y[2..])?;
        let counts = match pool.count_padding {
            true => {
                let taps: f64 = pool.window.kernel.iter().map(|&k| k as f64).product();
                let len = window.output_rows.checked_mul(window.output_width)?;
                filled(len, taps as f32)?
            }
            false => window.counts()?,
        };
        Some(Self {
            isa,
            window,
            counts: Some(counts),
        })
    }
}

impl SimdKernel for Pool {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: self.window.input_width + self.window.scratch_len(),
            indices: self.window.most_receptive_rows(),
        }
    }

    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        match self.counts {
            Some(_) => self.rows(simd, Sum, image, worker),
            None => self.rows(simd, MaxOrNan, image, worker),
        }
    }
}

impl Pool {
    /// Threads partition the output rows of all channels.
    #[inline(always)]
    fn rows<S: Simd, F: Combine>(
        &self,
        simd: S,
        combine: F,
        image: &ImageIo<'_>,
        worker: &mut Worker<'_>,
    ) {
        let (x, y) = (image.x.floats(0), image.y.floats);
        let window = &self.window;
        let Scratch { floats, indices } = &mut *worker.scratch;
        let (line, buffer) = floats.as_mut_slice().split_at_mut(window.input_width);
        let buffer = &mut buffer[..window.scratch_len()];
        let own = worker.slice.of(y.len() / window.output_width.max(1));
        let rows = window.output_rows.max(1);
        let (mut channel, mut row) = (own.start / rows, own.start % rows);
        for i in own {
            let x = &x[channel * window.input_rows * window.input_width..];
            // SAFETY: the row is in this thread's work slice.
            #[allow(unsafe_code)]
            let y = unsafe { y.part(i * window.output_width..(i + 1) * window.output_width) };
            line.fill(F::IDENTITY);
            for input_row in window.receptive_rows(row, indices) {
                combine_into(simd, combine, line, &x[input_row * window.input_width..]);
            }
            let phases = window.deinterleave(line, buffer);
            y.fill(F::IDENTITY);
            for tap in &window.taps {
                let own = &mut y[tap.positions.clone()];
                combine_into(simd, combine, own, &phases[tap.start..]);
            }
            if let Some(counts) = &self.counts {
                let counts = &counts[row * window.output_width..];
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
    window: PoolWindow,
}

impl MaxPoolGrad {
    /// As [`Pool::max`].
    pub(crate) fn new(isa: Isa, window: &Window, x: &[usize], dy: &[usize]) -> Option<Self> {
        Some(Self {
            isa,
            window: PoolWindow::new(window, &x[2..], &dy[2..])?,
        })
    }
}

impl SimdKernel for MaxPoolGrad {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: self.window.scratch_len() + 2 * self.window.output_width,
            indices: self.window.output_width + self.window.most_receptive_rows(),
        }
    }

    /// Threads partition the channels.
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let (x, dy) = (image.x.floats(0), image.x.floats(1));
        let window = &self.window;
        let plane = window.input_rows * window.input_width;
        for channel in worker.slice.of(image.y.floats.len() / plane.max(1)) {
            let x = &x[channel * plane..][..plane];
            // SAFETY: the channel is in this thread's work slice.
            #[allow(unsafe_code)]
            let dx = unsafe { image.y.floats.part(channel * plane..(channel + 1) * plane) };
            dx.fill(0.0);
            for row in 0..window.output_rows {
                let dy = &dy[(channel * window.output_rows + row) * window.output_width..]
                    [..window.output_width];
                for (&dy, &index) in dy.iter().zip(self.largest(simd, x, row, worker.scratch)) {
                    if let Some(dx) = dx.get_mut(index) {
                        *dx += dy;
                    }
                }
            }
        }
    }
}

/// The origin of a window in which no element has been selected.
const NONE: u32 = u32::MAX;

impl MaxPoolGrad {
    /// For each position of an output row, the index in the channel of the first largest element in
    /// its window; out of bounds where there is none.
    #[inline(always)]
    fn largest<'a, S: Simd>(
        &self,
        simd: S,
        x: &[f32],
        row: usize,
        scratch: &'a mut Scratch,
    ) -> &'a [usize] {
        let width = self.window.output_width;
        let (largest, rows) = scratch.indices.split_at_mut(width);
        let rows = self.window.receptive_rows(row, rows);
        let floats = scratch.floats.as_mut_slice();
        self.origins(simd, x, rows, floats);
        for (i, (index, origin)) in largest.iter_mut().zip(&floats[..width]).enumerate() {
            *index = match (origin.to_bits(), rows) {
                (NONE, [first_row, ..]) => self.window.first_index(*first_row, i),
                (NONE, []) => None,
                (origin, _) => Some(self.window.index(origin, i)),
            }
            .unwrap_or(usize::MAX);
        }
        largest
    }

    /// For each position of an output row, the origin of the first largest element in its window,
    /// see [`PoolWindow::origin`], at the beginning of `scratch`; [`NONE`] where all elements are
    /// -infinity. Origins are carried in vector lanes as the bit patterns of floats, on which no
    /// arithmetic is done.
    #[inline(always)]
    fn origins<S: Simd>(&self, simd: S, x: &[f32], rows: &[usize], scratch: &mut [f32]) {
        let window = &self.window;
        let (origins, rest) = scratch.split_at_mut(window.output_width);
        let (best, buffer) = rest.split_at_mut(window.output_width);
        best.fill(f32::NEG_INFINITY);
        origins.fill(f32::from_bits(NONE));
        for &input_row in rows {
            let line = &x[input_row * window.input_width..][..window.input_width];
            let phases = window.deinterleave(line, &mut buffer[..window.scratch_len()]);
            for tap in &window.taps {
                let own = tap.positions.clone();
                let number = f32::from_bits(window.origin(input_row, tap));
                let (best, origins) = (&mut best[own.clone()], &mut origins[own]);
                select_larger(simd, best, origins, &phases[tap.start..], number);
            }
        }
    }
}

/// Replaces the best element so far, and its number, by a candidate where that is larger. NaN is
/// larger than every number.
#[inline(always)]
fn select_larger<S: Simd>(simd: S, best: &mut [f32], origins: &mut [f32], x: &[f32], number: f32) {
    let len = best.len();
    assert!(origins.len() == len && x.len() >= len);
    let (best, origins, x) = (best.as_mut_ptr(), origins.as_mut_ptr(), x.as_ptr());
    let (number, rest) = (simd.splat(number), len % S::LANES);
    for i in (0..len - rest).step_by(S::LANES) {
        // SAFETY: a whole vector inside of all three.
        #[allow(unsafe_code)]
        unsafe {
            let (old, candidate) = (simd.load(best.add(i)), simd.load(x.add(i)));
            let origin = simd.load(origins.add(i));
            let (new, origin) = larger(simd, [old, origin], [candidate, number]);
            simd.store(best.add(i), new);
            simd.store(origins.add(i), origin);
        }
    }
    if rest > 0 {
        let i = len - rest;
        // SAFETY: the last elements of all three.
        #[allow(unsafe_code)]
        unsafe {
            let old = simd.load_first(rest, best.add(i));
            let candidate = simd.load_first(rest, x.add(i));
            let origin = simd.load_first(rest, origins.add(i));
            let (new, origin) = larger(simd, [old, origin], [candidate, number]);
            simd.store_first(rest, best.add(i), new);
            simd.store_first(rest, origins.add(i), origin);
        }
    }
}

/// The larger of two elements, each with a number; the first one where they are equal.
#[inline(always)]
fn larger<S: Simd>(
    simd: S,
    [old, origin]: [S::Vector; 2],
    [candidate, number]: [S::Vector; 2],
) -> (S::Vector, S::Vector) {
    // Comparisons with NaN are false: an old NaN is kept explicitly.
    let (is_number, stays) = (simd.ge(old, old), simd.ge(old, candidate));
    let candidate = simd.select(is_number, candidate, old);
    let number = simd.select(is_number, number, origin);
    (
        simd.select(stays, old, candidate),
        simd.select(stays, origin, number),
    )
}
