//! A pooling window: which input rows are in the receptive field of an output row, and which
//! elements of an input row each tap of the window reads.

use crate::kernels::conv::sliding_window::unpadded_positions;
use odin_graph::op::Window;
use std::ops::Range;

/// A window over one channel. Rows run along the last axis.
#[derive(Debug)]
pub(crate) struct PoolWindow {
    /// The length of an input row.
    pub(crate) input_width: usize,
    /// The length of an output row.
    pub(crate) output_width: usize,
    pub(crate) input_rows: usize,
    pub(crate) output_rows: usize,
    /// The stride along a row.
    stride: usize,
    /// The padding before each row.
    pad: usize,
    /// The taps of the window along the last axis.
    pub(crate) taps: Vec<Tap>,
    /// For each output row, the input rows in its receptive field, padding excluded.
    receptive_rows: Vec<Vec<usize>>,
}

/// A tap of a window. At the positions where it reads no padding it reads neighbouring elements of
/// a deinterleaved row, see [`PoolWindow::deinterleave`].
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    pub(crate) positions: Range<usize>,
    /// Where the first of these elements is in the deinterleaved row.
    pub(crate) start: usize,
    /// The distance from the first tap.
    shift: usize,
}

impl PoolWindow {
    /// Spatial extents of the input and of the output.
    pub(crate) fn new(window: &Window, inputs: &[usize], outputs: &[usize]) -> Self {
        let last = inputs.len() - 1;
        let (input_width, stride) = (inputs[last], window.strides[last]);
        let tap = |k: usize| {
            let shift = k * window.dilations[last];
            let positions = unpadded_positions(window, last, shift, input_width, outputs[last]);
            let first = (positions.start * stride + shift).saturating_sub(window.pads_begin[last]);
            let start = first % stride * input_width.div_ceil(stride) + first / stride;
            Tap {
                positions,
                start,
                shift,
            }
        };
        let rows = outputs[..last].iter().product();
        Self {
            input_width,
            output_width: outputs[last],
            input_rows: inputs[..last].iter().product(),
            output_rows: rows,
            stride,
            pad: window.pads_begin[last],
            taps: (0..window.kernel[last]).map(tap).collect(),
            receptive_rows: (0..rows)
                .map(|row| receptive_rows(window, inputs, outputs, row))
                .collect(),
        }
    }

    pub(crate) fn receptive_rows(&self, row: usize) -> &[usize] {
        &self.receptive_rows[row]
    }

    /// The index in the channel that the tap would read at position 0 of an input row, plus the
    /// padding. A channel has fewer than 2^32 elements.
    #[inline(always)]
    pub(crate) fn origin(&self, row: usize, tap: &Tap) -> u32 {
        (row * self.input_width + tap.shift) as u32
    }

    /// The index in the channel that the tap of this origin reads at a position.
    #[inline(always)]
    pub(crate) fn index(&self, origin: u32, position: usize) -> usize {
        (origin as usize + position * self.stride).wrapping_sub(self.pad)
    }

    /// The index in the channel that the first tap outside of the padding reads at a position.
    pub(crate) fn first_index(&self, row: usize, position: usize) -> Option<usize> {
        let mut taps = self.taps.iter();
        let tap = taps.find(|tap| tap.positions.contains(&position))?;
        let input_row = *self.receptive_rows[row].first()?;
        Some(self.index(self.origin(input_row, tap), position))
    }

    /// Elements of scratch memory for [`PoolWindow::deinterleave`].
    pub(crate) fn scratch_len(&self) -> usize {
        self.stride * self.input_width.div_ceil(self.stride)
    }

    /// A row deinterleaved by the stride: elements that are a stride apart become neighbours.
    #[inline(always)]
    pub(crate) fn deinterleave<'a>(&self, line: &'a [f32], scratch: &'a mut [f32]) -> &'a [f32] {
        if self.stride == 1 {
            return line;
        }
        let length = line.len().div_ceil(self.stride);
        let phases = scratch.chunks_exact_mut(length.max(1)).take(self.stride);
        for (q, phase) in phases.enumerate().filter(|(q, _)| *q < line.len()) {
            match self.stride {
                // With a constant stride the compiler emits vector shuffles.
                2 => every_nth::<2>(&line[q..], phase),
                3 => every_nth::<3>(&line[q..], phase),
                step => {
                    let own = line[q..].iter().step_by(step);
                    phase.iter_mut().zip(own).for_each(|(y, &x)| *y = x);
                }
            }
        }
        scratch
    }
}

#[inline(always)]
fn every_nth<const STEP: usize>(line: &[f32], phase: &mut [f32]) {
    let (whole, rest) = line.as_chunks::<STEP>();
    let (most, last) = phase.split_at_mut(whole.len().min(phase.len()));
    most.iter_mut().zip(whole).for_each(|(y, x)| *y = x[0]);
    last.iter_mut().zip(rest).for_each(|(y, &x)| *y = x);
}

/// The input rows in the receptive field of an output row.
fn receptive_rows(window: &Window, inputs: &[usize], outputs: &[usize], row: usize) -> Vec<usize> {
    let mut all = vec![0];
    let mut rest: usize = outputs[..inputs.len() - 1].iter().product();
    let mut row = row;
    for axis in 0..inputs.len() - 1 {
        rest /= outputs[axis];
        let position = row / rest;
        row %= rest;
        let entry = |line: usize, k: usize| {
            let padded = position * window.strides[axis] + k * window.dilations[axis];
            let at = padded.checked_sub(window.pads_begin[axis])?;
            (at < inputs[axis]).then_some(line * inputs[axis] + at)
        };
        let entries = |line| (0..window.kernel[axis]).filter_map(move |k| entry(line, k));
        all = all.into_iter().flat_map(entries).collect();
    }
    all
}
