//! The operator that a convolution kernel computes: a convolution or the adjoint of one.

use crate::kernels::conv::axis::{Axis, WindowAxis};
use odin_graph::op::{self, Window};

/// A convolution or its adjoint, with its attributes.
pub(crate) enum ConvOp {
    Forward(op::Conv),
    Adjoint(op::ConvTranspose),
}

impl ConvOp {
    pub(super) fn window(&self) -> (&Window, usize) {
        match self {
            ConvOp::Forward(conv) => (&conv.window, conv.groups),
            ConvOp::Adjoint(conv) => (&conv.window, conv.groups),
        }
    }

    /// A spatial axis, for shapes of one image, `[1, C, spatial...]`.
    pub(super) fn axis(&self, axis: usize, x: &[usize], y: &[usize]) -> Axis {
        let (window, _) = self.window();
        let extent = WindowAxis {
            kernel: window.kernel[axis],
            stride: window.strides[axis],
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

/// Whether a convolution is pointwise: each output position reads the same position of all input
/// channels, and nothing else.
pub(crate) fn is_pointwise(window: &Window, groups: usize, x: &[usize], y: &[usize]) -> bool {
    let ones = |extents: &[usize]| extents.iter().all(|&extent| extent == 1);
    let unpadded = window.pads_begin.iter().all(|&pad| pad == 0);
    groups == 1 && ones(&window.kernel) && ones(&window.strides) && unpadded && x == y
}
