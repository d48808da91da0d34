//! A sliding window over one channel: which input elements each of its taps reads.

use odin_graph::op::Window;
use std::ops::Range;

/// A window over one channel.
#[derive(Debug)]
pub(crate) struct SlidingWindow {
    window: Window,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

/// Neighbouring window positions at which a tap reads the input: position `output + i` reads input
/// `input + i · step`, for `i` below `len`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapRun {
    pub(crate) output: usize,
    pub(crate) input: usize,
    pub(crate) len: usize,
}

impl SlidingWindow {
    /// A window over an input of spatial extents `inputs`, at `outputs` positions.
    pub(crate) fn new(window: &Window, inputs: &[usize], outputs: &[usize]) -> Self {
        Self {
            window: window.clone(),
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
        }
    }

    /// Input elements per channel.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs.iter().product()
    }

    /// Window positions.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs.iter().product()
    }

    /// The number of taps.
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

    /// Whether position i reads input i and nothing else.
    pub(crate) fn is_identity(&self) -> bool {
        let w = &self.window;
        let unpadded = w.pads_begin.iter().all(|&p| p == 0) && self.inputs == self.outputs;
        self.taps() == 1 && unpadded && w.strides.iter().all(|&s| s == 1)
    }

    /// The positions in `rows` at which the tap number `tap` reads no padding.
    pub(crate) fn runs(&self, tap: usize, rows: Range<usize>, runs: &mut Vec<TapRun>) {
        runs.clear();
        let shifts = self.shifts(tap);
        let last = self.outputs.len() - 1;
        let columns = unpadded_positions(
            &self.window,
            last,
            shifts[last],
            self.inputs[last],
            self.outputs[last],
        );
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

    /// The offset of a tap from the first one, in input elements along each axis.
    fn shifts(&self, mut tap: usize) -> Vec<usize> {
        let w = &self.window;
        let mut shifts = vec![0; w.axes()];
        for axis in (0..w.axes()).rev() {
            shifts[axis] = tap % w.kernel[axis] * w.dilations[axis];
            tap /= w.kernel[axis];
        }
        shifts
    }

    /// The input row that a tap reads at a row of positions; none in the padding.
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

/// The positions along an axis at which a tap, `shift` elements behind the first one, reads the input
/// rather than padding.
pub(crate) fn unpadded_positions(
    window: &Window,
    axis: usize,
    shift: usize,
    input: usize,
    output: usize,
) -> Range<usize> {
    let (pad, stride) = (window.pads_begin[axis], window.strides[axis]);
    let start = pad.saturating_sub(shift).div_ceil(stride).min(output);
    let end = (input + pad).saturating_sub(shift).div_ceil(stride);
    start..end.min(output).max(start)
}
