//! The operator that a convolution kernel computes: a convolution or the adjoint of one.

use crate::kernels::conv::axis::{Axis, WindowAxis};
use odin_graph::op::{self, Window};

/// The most elements along an axis that a window reaches over, with padding, and the longest step.
const MAX_REACH: usize = u32::MAX as usize;
/// The most phases into which the output of an adjoint is decomposed: steps of 256 along two axes.
const MAX_PHASES: usize = 1 << 16;

/// A convolution or its adjoint, with its attributes.
pub(crate) enum ConvOp {
    Forward(op::Conv),
    Adjoint(op::ConvTranspose),
}

impl ConvOp {
    /// Whether the attributes are so small that indices do not overflow, and phases are not many.
    pub(crate) fn is_within_limits(&self, x: &[usize]) -> bool {
        let (window, _) = self.window();
        let mut phases = 1_usize;
        (0..window.axes()).all(|axis| {
            let reach = (window.kernel[axis] - 1).saturating_mul(window.dilations[axis]);
            let pads = [window.pads_begin[axis], window.pads_end[axis]];
            let longest = pads.into_iter().chain([reach, window.strides[axis]]).max();
            if longest.is_some_and(|longest| longest > MAX_REACH) {
                return false;
            }
            if let ConvOp::Adjoint(_) = self {
                phases = phases.saturating_mul(adjoint_stride(window, axis, x[axis + 2]));
            }
            phases <= MAX_PHASES
        })
    }

    /// The groups into which channels are split, at least one.
    pub(crate) fn groups(&self) -> usize {
        self.window().1.max(1)
    }

    pub(super) fn window(&self) -> (&Window, usize) {
        match self {
            ConvOp::Forward(conv) => (&conv.window, conv.groups),
            ConvOp::Adjoint(conv) => (&conv.window, conv.groups),
        }
    }

    /// A spatial axis, for shapes of one image, `[1, C, spatial...]`.
    pub(super) fn axis(&self, axis: usize, x: &[usize], y: &[usize]) -> Axis {
        let (window, _) = self.window();
        let stride = match self {
            ConvOp::Forward(_) => window.strides[axis],
            ConvOp::Adjoint(_) => adjoint_stride(window, axis, x[axis + 2]),
        };
        let extent = WindowAxis {
            kernel: window.kernel[axis],
            stride,
            dilation: window.dilations[axis],
            pad: window.pads_begin[axis],
            input: x[axis + 2],
            output: y[axis + 2],
        };
        match self {
            ConvOp::Forward(_) => Axis::conv(extent),
            ConvOp::Adjoint(_) => Axis::adjoint(extent),
        }
    }
}

/// The stride of an adjoint. Of an input of one element, steps past the window are never taken.
fn adjoint_stride(window: &Window, axis: usize, input: usize) -> usize {
    let reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
    match input {
        1 => window.strides[axis].min(reach),
        _ => window.strides[axis],
    }
}

/// Whether a convolution is pointwise: each output position reads the same position of all input
/// channels, and nothing else.
pub(crate) fn is_pointwise(window: &Window, groups: usize, x: &[usize], y: &[usize]) -> bool {
    let ones = |extents: &[usize]| extents.iter().all(|&extent| extent == 1);
    let unpadded = window.pads_begin.iter().all(|&pad| pad == 0);
    groups == 1 && ones(&window.kernel) && ones(&window.strides) && unpadded && x == y
}
