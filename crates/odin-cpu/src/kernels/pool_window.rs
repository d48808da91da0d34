//! A window sliding over lines: which input lines a row of positions meets, and which elements of
//! a line each entry of the window does.

use odin_graph::op::Window;
use std::ops::Range;

/// A window over one channel. Rows of positions and lines of elements run along the last axis.
#[derive(Debug)]
pub(crate) struct PoolWindow {
    /// Elements of a line.
    pub(crate) line: usize,
    /// Positions of a row.
    pub(crate) row: usize,
    pub(crate) lines: usize,
    pub(crate) rows: usize,
    /// The distance between the elements that neighbouring positions meet.
    step: usize,
    /// Before each line.
    pad: usize,
    /// For each entry of the window along the last axis.
    pub(crate) entries: Vec<Tap>,
    /// For each row, the lines that its windows meet, the padding left out.
    met: Vec<Vec<usize>>,
}

/// An entry of a window: the positions where it does not lie in the padding meet neighbouring
/// elements of a line taken every_nth, see [`PoolWindow::deinterleave`].
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    pub(crate) positions: Range<usize>,
    /// Where the first one is among the deinterleave.
    pub(crate) start: usize,
    /// How far the entry is from the first one.
    shift: usize,
}

impl PoolWindow {
    /// Spatial extents of the input and of the positions.
    pub(crate) fn new(window: &Window, inputs: &[usize], outputs: &[usize]) -> Self {
        let last = inputs.len() - 1;
        let (line, step) = (inputs[last], window.strides[last]);
        let entry = |k: usize| {
            let positions = inside(window, last, k, line, outputs[last]);
            let shift = k * window.dilations[last];
            let first = (positions.start * step + shift).saturating_sub(window.pads_begin[last]);
            let start = first % step * line.div_ceil(step) + first / step;
            Tap {
                positions,
                start,
                shift,
            }
        };
        let rows = outputs[..last].iter().product();
        Self {
            line,
            row: outputs[last],
            lines: inputs[..last].iter().product(),
            rows,
            step,
            pad: window.pads_begin[last],
            entries: (0..window.kernel[last]).map(entry).collect(),
            met: (0..rows)
                .map(|row| met(window, inputs, outputs, row))
                .collect(),
        }
    }

    pub(crate) fn met(&self, row: usize) -> &[usize] {
        &self.met[row]
    }

    /// Where in the channel the first position meets an entry of the window in a line, counted
    /// from the start of the padding. A channel has fewer than 2^32 elements.
    #[inline(always)]
    pub(crate) fn origin(&self, line: usize, entry: &Tap) -> u32 {
        (line * self.line + entry.shift) as u32
    }

    /// Where in the channel a position meets the entry of this origin.
    #[inline(always)]
    pub(crate) fn place(&self, origin: u32, position: usize) -> usize {
        (origin as usize + position * self.step).wrapping_sub(self.pad)
    }

    /// Where in the channel a position meets the first entry that does not lie in the padding.
    pub(crate) fn first(&self, row: usize, position: usize) -> Option<usize> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|e| e.positions.contains(&position))?;
        let line = *self.met[row].first()?;
        Some(self.place(self.origin(line, entry), position))
    }

    /// Elements that [`PoolWindow::deinterleave`] needs scratch for.
    pub(crate) fn scratch(&self) -> usize {
        self.step * self.line.div_ceil(self.step)
    }

    /// A line taken every_nth: elements that are a step every_nth become neighbours.
    #[inline(always)]
    pub(crate) fn deinterleave<'a>(&self, line: &'a [f32], scratch: &'a mut [f32]) -> &'a [f32] {
        if self.step == 1 {
            return line;
        }
        let length = line.len().div_ceil(self.step);
        let deinterleave = scratch.chunks_exact_mut(length.max(1)).take(self.step);
        for (q, phase) in deinterleave.enumerate().filter(|(q, _)| *q < line.len()) {
            match self.step {
                // Of a known step the compiler makes shuffles of vectors.
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

/// The positions along an axis at which an entry of the window meets the input.
fn inside(window: &Window, axis: usize, entry: usize, input: usize, output: usize) -> Range<usize> {
    let (pad, stride) = (window.pads_begin[axis], window.strides[axis]);
    let shift = entry * window.dilations[axis];
    let start = pad.saturating_sub(shift).div_ceil(stride).min(output);
    let end = (input + pad).saturating_sub(shift).div_ceil(stride);
    start..end.min(output).max(start)
}

/// The lines that the windows of a row meet.
fn met(window: &Window, inputs: &[usize], outputs: &[usize], row: usize) -> Vec<usize> {
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
