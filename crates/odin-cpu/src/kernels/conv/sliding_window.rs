//! Which input elements an entry of a sliding window meets.

use odin_graph::op::Window;
use std::ops::Range;

/// A window sliding over one channel.
#[derive(Debug)]
pub(crate) struct SlidingWindow {
    window: Window,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

/// Neighbouring window positions, and the input elements that one window entry meets there:
/// position `output + i` meets input `input + i · step`, for `i` below `len`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapRun {
    pub(crate) output: usize,
    pub(crate) input: usize,
    pub(crate) len: usize,
}

impl SlidingWindow {
    /// A window over an input of spatial extents `inputs` that takes `outputs` positions.
    pub(crate) fn new(window: &Window, inputs: &[usize], outputs: &[usize]) -> Self {
        Self {
            window: window.clone(),
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
        }
    }

    /// Input elements of a channel.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs.iter().product()
    }

    /// Window positions.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs.iter().product()
    }

    /// Window entries.
    pub(crate) fn taps(&self) -> usize {
        self.window.kernel.iter().product()
    }

    /// Positions along the innermost axis.
    pub(crate) fn width(&self) -> usize {
        self.outputs[self.outputs.len() - 1]
    }

    /// Rows of positions along the innermost axis.
    pub(crate) fn rows(&self) -> usize {
        self.outputs[..self.outputs.len() - 1].iter().product()
    }

    /// The distance between the input elements of a run.
    pub(crate) fn step(&self) -> usize {
        self.window.strides[self.outputs.len() - 1]
    }

    /// Whether position i meets input i and nothing else.
    pub(crate) fn is_identity(&self) -> bool {
        let w = &self.window;
        let unpadded = w.pads_begin.iter().all(|&p| p == 0) && self.inputs == self.outputs;
        self.taps() == 1 && unpadded && w.strides.iter().all(|&s| s == 1)
    }

    /// The positions in `rows` where the window entry number `tap` does not lie in the padding.
    pub(crate) fn runs(&self, tap: usize, rows: Range<usize>, runs: &mut Vec<TapRun>) {
        runs.clear();
        let shifts = self.shifts(tap);
        let last = self.outputs.len() - 1;
        let columns = self.inside(last, shifts[last]);
        if columns.is_empty() {
            return;
        }
        let first = columns.start * self.step() + shifts[last] - self.window.pads_begin[last];
        for row in rows {
            let Some(line) = self.input_line(row, &shifts) else {
                continue;
            };
            let run = TapRun {
                output: row * self.width() + columns.start,
                input: line * self.inputs[last] + first,
                len: columns.len(),
            };
            match runs.last_mut() {
                Some(earlier) if self.step() == 1 && earlier.continues_in(&run) => {
                    earlier.len += run.len;
                }
                _ => runs.push(run),
            }
        }
    }

    /// Where the window entry lies in the window, in input elements along each axis.
    fn shifts(&self, mut tap: usize) -> Vec<usize> {
        let w = &self.window;
        let mut shifts = vec![0; w.axes()];
        for axis in (0..w.axes()).rev() {
            shifts[axis] = tap % w.kernel[axis] * w.dilations[axis];
            tap /= w.kernel[axis];
        }
        shifts
    }

    /// Positions along an axis at which a window entry meets the input.
    fn inside(&self, axis: usize, shift: usize) -> Range<usize> {
        let (pad, stride) = (self.window.pads_begin[axis], self.window.strides[axis]);
        let start = pad.saturating_sub(shift).div_ceil(stride);
        let end = (self.inputs[axis] + pad)
            .saturating_sub(shift)
            .div_ceil(stride);
        start..end.min(self.outputs[axis])
    }

    /// The input line that the window entry meets in a row of positions; none in the padding.
    fn input_line(&self, mut row: usize, shifts: &[usize]) -> Option<usize> {
        let (mut line, mut stride) = (0, 1);
        for axis in (0..self.outputs.len() - 1).rev() {
            let position = row % self.outputs[axis];
            row /= self.outputs[axis];
            let padded = position * self.window.strides[axis] + shifts[axis];
            let input = padded.checked_sub(self.window.pads_begin[axis])?;
            if input >= self.inputs[axis] {
                return None;
            }
            line += input * stride;
            stride *= self.inputs[axis];
        }
        Some(line)
    }
}

impl TapRun {
    fn continues_in(&self, next: &TapRun) -> bool {
        self.output + self.len == next.output && self.input + self.len == next.input
    }
}
