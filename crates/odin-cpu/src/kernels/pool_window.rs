//! A pooling window: which input rows are in the receptive field of an output row, and which
//! elements of an input row each tap of the window reads.

use crate::kernels::conv::axis::WindowAxis;
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
    /// The axes before the last one, outermost first.
    outer: Vec<WindowAxis>,
    /// The axis along a row.
    along: WindowAxis,
    /// The number of phases of a deinterleaved row.
    phases: usize,
    /// The taps of the window along the last axis that read the input at any position.
    pub(crate) taps: Vec<Tap>,
}

/// A tap of a window. At the positions where it reads no padding it reads neighbouring elements of
/// a deinterleaved row, see [`PoolWindow::deinterleave`].
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    /// Not empty.
    pub(crate) positions: Range<usize>,
    /// Where the first of these elements is in the deinterleaved row.
    pub(crate) start: usize,
    /// The distance from the first tap.
    shift: usize,
}

impl PoolWindow {
    /// Spatial extents of the input and of the output. `None` if the indices of a channel do not
    /// fit into 32 bits, or memory is exhausted.
    pub(crate) fn new(window: &Window, inputs: &[usize], outputs: &[usize]) -> Option<Self> {
        let axis = |axis: usize| WindowAxis {
            kernel: window.kernel[axis],
            stride: window.strides[axis],
            dilation: window.dilations[axis],
            pad: window.pads_begin[axis],
            input: inputs[axis],
            output: outputs[axis],
        };
        let last = inputs.len() - 1;
        let along = axis(last);
        // Steps past the end of a row are never taken: it is read at one position only.
        let phases = if along.stride < along.input {
            along.stride
        } else {
            1
        };
        let window = Self {
            input_width: along.input,
            output_width: along.output,
            input_rows: product(&inputs[..last])?,
            output_rows: product(&outputs[..last])?,
            outer: (0..last).map(axis).collect(),
            along,
            phases,
            taps: taps(along, phases)?,
        };
        let reach = along.dilation.checked_mul(along.kernel - 1)?;
        let indices = window.input_rows.checked_mul(window.input_width)?;
        u32::try_from(indices.checked_add(reach)?).ok()?;
        Some(window)
    }

    /// The most input rows in the receptive field of an output row.
    pub(crate) fn most_receptive_rows(&self) -> usize {
        let along = |axis: &WindowAxis| axis.kernel.min(axis.input);
        self.outer.iter().map(along).product()
    }

    /// The input rows in the receptive field of an output row, padding excluded, in order. `rows`
    /// has room for [`PoolWindow::most_receptive_rows`].
    #[inline]
    pub(crate) fn receptive_rows<'a>(&self, row: usize, rows: &'a mut [usize]) -> &'a [usize] {
        let (mut row, mut inner) = (row, self.output_rows);
        let mut count = 1;
        rows[0] = 0;
        for axis in &self.outer {
            inner /= axis.output;
            let position = row / inner;
            row %= inner;
            let taps = axis.taps_inside(position);
            let first = axis.element(position, taps.start);
            // From the last to the first, so that no row is overwritten before it is read.
            for outer in (0..count).rev() {
                let base = rows[outer] * axis.input + first;
                for (k, line) in rows[outer * taps.len()..][..taps.len()]
                    .iter_mut()
                    .enumerate()
                {
                    *line = base + k * axis.dilation;
                }
            }
            count *= taps.len();
        }
        &rows[..count]
    }

    /// The number of elements in the receptive field of each output element, or `None` if memory is
    /// exhausted.
    pub(crate) fn counts(&self) -> Option<Vec<f32>> {
        let mut counts = Vec::new();
        let len = self.output_rows.checked_mul(self.output_width)?;
        counts.try_reserve_exact(len).ok()?;
        for row in 0..self.output_rows {
            let lines = self.count_receptive_rows(row);
            let along = (0..self.output_width).map(|i| self.along.taps_inside(i).len());
            counts.extend(along.map(|n| (lines * n) as f32));
        }
        Some(counts)
    }

    fn count_receptive_rows(&self, mut row: usize) -> usize {
        let mut count = 1;
        for axis in self.outer.iter().rev() {
            count *= axis.taps_inside(row % axis.output).len();
            row /= axis.output;
        }
        count
    }

    /// The index in the channel that the tap would read at position 0 of an input row, plus the
    /// padding.
    #[inline(always)]
    pub(crate) fn origin(&self, row: usize, tap: &Tap) -> u32 {
        (row * self.input_width + tap.shift) as u32
    }

    /// The index in the channel that the tap of this origin reads at a position.
    #[inline(always)]
    pub(crate) fn index(&self, origin: u32, position: usize) -> usize {
        (origin as usize + position * self.along.stride).wrapping_sub(self.along.pad)
    }

    /// The index in the channel that the first tap outside of the padding reads at a position of an
    /// output row whose receptive field begins with `first_row`.
    pub(crate) fn first_index(&self, first_row: usize, position: usize) -> Option<usize> {
        let taps = self.along.taps_inside(position);
        let element = self.along.element(position, taps.start);
        (!taps.is_empty()).then_some(first_row * self.input_width + element)
    }

    /// Elements of scratch memory for [`PoolWindow::deinterleave`].
    pub(crate) fn scratch_len(&self) -> usize {
        self.phases * self.input_width.div_ceil(self.phases)
    }

    /// A row deinterleaved by the stride: elements that are a stride apart become neighbours.
    #[inline(always)]
    pub(crate) fn deinterleave<'a>(&self, line: &'a [f32], scratch: &'a mut [f32]) -> &'a [f32] {
        if self.phases == 1 {
            return line;
        }
        let length = line.len().div_ceil(self.phases);
        let phases = scratch.chunks_exact_mut(length).take(self.phases);
        for (q, phase) in phases.enumerate() {
            match self.phases {
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

/// The taps along a row that read the input at any position, in order.
fn taps(axis: WindowAxis, phases: usize) -> Option<Vec<Tap>> {
    let mut taps = Vec::new();
    let mut next = 0;
    // Later positions are read by earlier taps.
    for position in (0..axis.output).rev() {
        let inside = axis.taps_inside(position);
        let new = inside.start.max(next)..inside.end;
        taps.try_reserve(new.len()).ok()?;
        taps.extend(new.map(|k| tap(axis, phases, k)));
        next = next.max(inside.end);
    }
    Some(taps)
}

/// A tap that reads the input at some position.
fn tap(axis: WindowAxis, phases: usize, k: usize) -> Tap {
    let positions = axis.positions_inside(k);
    let first = axis.element(positions.start, k);
    Tap {
        positions,
        start: first % phases * axis.input.div_ceil(phases) + first / phases,
        shift: k * axis.dilation,
    }
}

fn product(extents: &[usize]) -> Option<usize> {
    let times = |product: usize, &extent: &usize| product.checked_mul(extent);
    extents.iter().try_fold(1, times)
}
