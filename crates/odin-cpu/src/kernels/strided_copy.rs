//! Strided copies: what slices, expansions, transpositions and chains of them become.

use crate::kernels::strided::LoopNest;
use crate::kernels::{ImageIo, ParallelKernel, Worker};
use crate::memory::SharedSlice;
use odin_lower::row_major;

/// Runs of a panel: the elements of a cache line.
const PANEL: usize = 16;
/// The elements of each run of a panel that are written before those of the next run.
const PART: usize = 32;

/// Copies a strided view `x` to a contiguous `y`.
///
/// Two axes are iterated together: the innermost of `y`, in runs; and, across the runs, the one
/// along which `x` is contiguous, so that each cache line is read once.
#[derive(Debug)]
pub(crate) struct StridedCopy {
    along: Axis,
    across: Axis,
    /// The other axes, with the strides of `x` and `y`.
    others: LoopNest<2>,
    first: usize,
}

/// An extent, and the strides of `x` and `y`.
#[derive(Debug, Clone, Copy)]
struct Axis {
    extent: usize,
    x: usize,
    y: usize,
}

impl StridedCopy {
    /// The element at position `p` of the shape `y` is element `first + p · strides` of `x`.
    pub(crate) fn new(y: &[usize], strides: &[usize], first: usize) -> Self {
        let walk = LoopNest::new(y, [strides, &row_major(y)]);
        let mut axes = walk.axes().map(|(extent, [x, y])| Axis { extent, x, y });
        let one = Axis {
            extent: 1,
            x: 0,
            y: 0,
        };
        let along = axes.next().unwrap_or(one);
        let mut others: Vec<Axis> = axes.collect();
        let even = others.iter().position(|axis| axis.x == 1);
        let across = match others.is_empty() {
            true => one,
            false => others.remove(even.unwrap_or(0)),
        };
        // Outermost first.
        others.reverse();
        let extents: Vec<usize> = others.iter().map(|axis| axis.extent).collect();
        let strides: [Vec<usize>; 2] = [
            others.iter().map(|axis| axis.x).collect(),
            others.iter().map(|axis| axis.y).collect(),
        ];
        Self {
            along,
            across,
            others: LoopNest::new(&extents, [&strides[0], &strides[1]]),
            first,
        }
    }

    /// Copies runs, at most [`PANEL`], that begin at these offsets.
    fn panel(&self, x: &[f32], y: SharedSlice<'_, f32>, [from, to]: [usize; 2], runs: usize) {
        let (along, across) = (self.along, self.across);
        // Contiguous runs need no blocking.
        let part = if along.x > 1 { PART } else { along.extent };
        for first in (0..along.extent).step_by(part.max(1)) {
            let len = part.min(along.extent - first);
            for run in 0..runs {
                let start = to + run * across.y + first;
                // SAFETY: the runs are in this thread's work slice.
                #[allow(unsafe_code)]
                let y = unsafe { y.part(start..start + len) };
                let x = &x[from + run * across.x + first * along.x..];
                match along.x {
                    0 => y.fill(x[0]),
                    1 => y.copy_from_slice(&x[..len]),
                    s => {
                        let x = x.iter().step_by(s);
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y = x);
                    }
                }
            }
        }
    }

    /// Whether each element of a contiguous `x` is repeated.
    fn repeats(&self) -> bool {
        self.along.x == 0 && self.across.x == 1 && self.across.y == self.along.extent
    }
}

/// Repeats each element `times` times.
fn repeat(x: &[f32], y: &mut [f32], times: usize) {
    match times {
        // With a constant count the compiler emits vector shuffles.
        2 => repeat_each::<2>(x, y),
        4 => repeat_each::<4>(x, y),
        _ => {
            let y = y.chunks_exact_mut(times.max(1));
            y.zip(x).for_each(|(y, &x)| y.fill(x));
        }
    }
}

fn repeat_each<const TIMES: usize>(x: &[f32], y: &mut [f32]) {
    let (y, _) = y.as_chunks_mut::<TIMES>();
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = [x; TIMES]);
}

impl ParallelKernel for StridedCopy {
    /// Threads partition the panels.
    fn run_image(&self, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let (x, y) = (image.x.floats(0), image.y.floats);
        let runs = self.across.extent;
        let panel = if self.repeats() { runs } else { PANEL };
        let panels = runs.div_ceil(panel.max(1));
        let outer = self.others.run_count() * self.others.extent;
        for unit in worker.slice.of(outer * panels) {
            let (other, first) = (unit / panels, unit % panels * panel);
            let start = self.others.offsets_at(other);
            let from = self.first + start[0] + first * self.across.x;
            let to = start[1] + first * self.across.y;
            let runs = panel.min(runs - first);
            if self.repeats() {
                let times = self.along.extent;
                // SAFETY: the panel is in this thread's work slice; its runs are contiguous.
                #[allow(unsafe_code)]
                let y = unsafe { y.part(to..to + runs * times) };
                repeat(&x[from..from + runs], y, times);
            } else {
                self.panel(x, y, [from, to], runs);
            }
        }
    }
}
