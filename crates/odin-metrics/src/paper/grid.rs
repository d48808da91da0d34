//! The threshold grid of the authors' procedure: `numpy.arange` in f64.

/// Number of steps between the ends of the threshold grid.
const STEPS: usize = 100_000;

/// By how much, relative to a step, the stride of the grid may differ from it before the range
/// counts as too narrow for f64 to divide: over 100,000 steps the grid would then end 100 points
/// too early or too late.
const MAX_STRIDE_ERROR: f64 = 1e-3;

/// Evenly spaced thresholds from `start` up to `end`, or from `end` down to `start`; the second
/// end is left out. The points are those of `numpy.arange` in f64, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    pub(super) start: f64,
    pub(super) end: f64,
    gap: f64,
}

impl Grid {
    pub(super) fn new(start: f64, end: f64) -> Option<Self> {
        Self::with_steps(start, end, STEPS)
    }

    /// `None` when f64 cannot divide the range evenly: it is empty, infinite, or so narrow that
    /// a step is near the spacing of the floating-point numbers.
    pub(super) fn with_steps(start: f64, end: f64, steps: usize) -> Option<Self> {
        let gap = (end - start) / steps as f64;
        let divides =
            |from: f64, step: f64| ((stride(from, step) - step) / step).abs() <= MAX_STRIDE_ERROR;
        let even = gap > 0.0 && gap.is_finite() && divides(start, gap) && divides(end, -gap);
        even.then_some(Self { start, end, gap })
    }

    pub(super) fn ascending(&self) -> impl Iterator<Item = f64> + use<> {
        arange(self.start, self.end, self.gap)
    }

    pub(super) fn descending(&self) -> impl Iterator<Item = f64> + use<> {
        arange(self.end, self.start, -self.gap)
    }
}

fn arange(start: f64, end: f64, step: f64) -> impl Iterator<Item = f64> {
    let points = ((end - start) / step).ceil() as usize;
    let stride = stride(start, step);
    (0..points).map(move |k| start + k as f64 * stride)
}

/// The difference of the first two points: `step` after rounding.
fn stride(start: f64, step: f64) -> f64 {
    (start + step) - start
}
