//! One spatial axis of a convolution, or of its adjoint.
//!
//! Both are computed as matrix products whose rows of elements begin at offsets into a padded copy
//! of the input. Strides are removed by polyphase decomposition: of the input for a convolution,
//! which skips elements; of the output for its adjoint, which writes every so many elements. Within
//! a phase, neighbouring positions read neighbouring elements.

use std::ops::Range;

/// The axis, decomposed into phases: where each tap of the window reads, for each phase of the
/// output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Axis {
    input: usize,
    output: usize,
    /// Entry `j` of input phase `q` is input element `in_stride · j + q + in_first`.
    in_stride: usize,
    in_first: isize,
    /// The phases of the input that are read.
    pub(crate) in_phases: Vec<usize>,
    pub(crate) out_phases: Vec<OutPhase>,
    /// The largest shift of a tap.
    reach: usize,
    out_stride: usize,
}

/// The outputs `out_stride · t + base` for integers `t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutPhase {
    base: isize,
    /// The taps that contribute.
    pub(crate) taps: Vec<Tap>,
}

/// Position `t` reads entry `t + shift` of an input phase, numbered as in `in_phases`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    /// The number of the tap in the window.
    pub(crate) entry: usize,
    pub(crate) in_phase: usize,
    pub(crate) shift: usize,
}

/// An axis of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowAxis {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) pad: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl WindowAxis {
    /// The taps that read the input rather than padding at a position.
    #[inline]
    pub(crate) fn taps_inside(&self, position: usize) -> Range<usize> {
        let from = |element: usize| {
            let distance = (element + self.pad).saturating_sub(position * self.stride);
            distance.div_ceil(self.dilation).min(self.kernel)
        };
        from(0)..from(self.input)
    }

    /// The positions at which a tap reads the input rather than padding.
    pub(crate) fn positions_inside(&self, tap: usize) -> Range<usize> {
        let from = |element: usize| {
            let distance = (element + self.pad).saturating_sub(tap * self.dilation);
            distance.div_ceil(self.stride).min(self.output)
        };
        from(0)..from(self.input)
    }

    /// The element that a tap reads at a position, one of [`WindowAxis::positions_inside`].
    pub(crate) fn element(&self, position: usize, tap: usize) -> usize {
        (position * self.stride + tap * self.dilation).saturating_sub(self.pad)
    }
}

impl Axis {
    /// A second axis of extent 1, for convolutions of one axis.
    pub(crate) fn single() -> Self {
        Self::conv(WindowAxis {
            kernel: 1,
            stride: 1,
            dilation: 1,
            pad: 0,
            input: 1,
            output: 1,
        })
    }

    /// Of a convolution: output `t` reads input `stride · t + dilation · k - pad`.
    pub(crate) fn conv(e: WindowAxis) -> Self {
        let phase = |k: usize| k * e.dilation % e.stride;
        let mut in_phases: Vec<usize> = (0..e.kernel).map(phase).collect();
        in_phases.sort_unstable();
        in_phases.dedup();
        let tap = |k: usize| Tap {
            entry: k,
            in_phase: in_phases.binary_search(&phase(k)).unwrap_or_default(),
            shift: k * e.dilation / e.stride,
        };
        let taps: Vec<Tap> = (0..e.kernel).map(tap).collect();
        Self {
            input: e.input,
            output: e.output,
            in_stride: e.stride,
            in_first: -(e.pad as isize),
            in_phases,
            reach: taps.iter().map(|tap| tap.shift).max().unwrap_or(0),
            out_phases: vec![OutPhase { base: 0, taps }],
            out_stride: 1,
        }
    }

    /// Of the adjoint: input `i` contributes to output `stride · i + dilation · k - pad`. Output
    /// `stride · t + q - pad` therefore reads, for each `k` with `dilation · k = stride · u + q`,
    /// input `t - u`.
    pub(crate) fn adjoint(e: WindowAxis) -> Self {
        let reach = (e.kernel - 1) * e.dilation / e.stride;
        let phase = |q: usize| OutPhase {
            base: q as isize - e.pad as isize,
            taps: (0..e.kernel)
                .filter(|k| k * e.dilation % e.stride == q)
                .map(|k| Tap {
                    entry: k,
                    in_phase: 0,
                    shift: reach - k * e.dilation / e.stride,
                })
                .collect(),
        };
        Self {
            input: e.input,
            output: e.output,
            in_stride: 1,
            in_first: -(reach as isize),
            in_phases: vec![0],
            out_phases: (0..e.stride).map(phase).collect(),
            reach,
            out_stride: e.stride,
        }
    }

    pub(crate) fn output(&self) -> usize {
        self.output
    }

    pub(crate) fn input(&self) -> usize {
        self.input
    }

    /// The `t` of a phase whose outputs are in a range.
    pub(crate) fn positions(&self, phase: &OutPhase, outputs: &Range<usize>) -> Range<usize> {
        let step = self.out_stride as isize;
        let from = |o: usize| {
            let distance = o as isize - phase.base;
            (distance + step - 1).div_euclid(step).max(0) as usize
        };
        from(outputs.start)..from(outputs.end)
    }

    /// The output of position `t` of a phase, which is one of [`Axis::positions`].
    pub(crate) fn output_at(&self, phase: &OutPhase, t: usize) -> usize {
        ((self.out_stride * t) as isize + phase.base) as usize
    }

    /// The phase of an output, and its position in the phase.
    pub(crate) fn phase_of(&self, output: usize) -> (usize, usize) {
        let of =
            |p: &OutPhase| (output as isize - p.base).rem_euclid(self.out_stride as isize) == 0;
        let phase = self.out_phases.iter().position(of).unwrap_or_default();
        let distance = output as isize - self.out_phases[phase].base;
        (phase, (distance / self.out_stride as isize) as usize)
    }

    /// The number of padding elements between an entry of phase 0 and the input; if negative, the
    /// number of input elements before that entry.
    pub(crate) fn padding(&self, entry: usize) -> isize {
        -(self.in_first + (self.in_stride * entry) as isize)
    }

    pub(crate) fn out_stride(&self) -> usize {
        self.out_stride
    }

    /// The receptive field of a range of outputs: the entries of each input phase that they read.
    pub(crate) fn receptive_field(&self, outputs: &Range<usize>) -> Range<usize> {
        let ranges = self.out_phases.iter().map(|p| self.positions(p, outputs));
        let ranges = ranges.filter(|t| !t.is_empty());
        let (mut start, mut end) = (usize::MAX, 0);
        for t in ranges {
            start = start.min(t.start);
            end = end.max(t.end + self.reach);
        }
        start.min(end)..end
    }

    /// Of a range of entries of an input phase, those that are input elements rather than padding,
    /// and the first such element.
    pub(crate) fn unpadded(
        &self,
        in_phase: usize,
        entries: &Range<usize>,
    ) -> (Range<usize>, usize) {
        let first = self.in_phases[in_phase] as isize + self.in_first;
        let step = self.in_stride as isize;
        let at = |element: isize| (element - first + step - 1).div_euclid(step).max(0) as usize;
        let start = at(0).clamp(entries.start, entries.end);
        let end = at(self.input as isize).clamp(start, entries.end);
        let element = (start as isize * step + first).max(0) as usize;
        (start..end, element)
    }

    pub(crate) fn in_stride(&self) -> usize {
        self.in_stride
    }
}
