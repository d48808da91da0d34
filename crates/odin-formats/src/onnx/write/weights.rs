//! Which operators pack a weight matrix, and the roles of constants, after which initializers are
//! named.

use odin_graph::Op;
use odin_graph::op::{ConvTranspose, Window};

/// How a runtime packs a weight matrix: for which operator, as which operand, and whether
/// transposed.
pub(super) type Packing = (&'static str, usize, bool);

/// How a runtime packs the operand of an operator, if it is a weight matrix that runtimes pack.
pub(super) fn packing(op: &Op, position: usize) -> Option<Packing> {
    let transposed = match (op, position) {
        (Op::Gemm(gemm), 0) => gemm.trans_a,
        (Op::Gemm(gemm), 1) => gemm.trans_b,
        (Op::Conv(_), 1) | (Op::MatMul | Op::Transpose(_), _) => false,
        // In the form of a convolution its weights are flipped first.
        (Op::ConvTranspose(conv), 1) if equivalent_window(conv).is_none() => false,
        _ => return None,
    };
    Some((op.name(), position, transposed))
}

/// The role of a constant in the operator that reads it.
pub(super) fn role(op: &Op, position: usize) -> &'static str {
    match (op, position) {
        (Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul, 0 | 1) => "weight",
        (Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_), _) => "bias",
        (Op::BatchNorm(_), 1) => "scale",
        (Op::BatchNorm(_), 2) => "shift",
        (Op::BatchNorm(_), 3) => "mean",
        (Op::BatchNorm(_), 4) => "variance",
        _ => "constant",
    }
}

/// The window of the convolution that a transposed one equals, if there is one.
pub(super) fn equivalent_window(conv: &ConvTranspose) -> Option<Window> {
    let mut window = conv.window.clone();
    for axis in 0..window.axes() {
        let last = window.dilations[axis] * (window.kernel[axis] - 1);
        let end = last + conv.output_padding[axis];
        window.pads_begin[axis] = last.checked_sub(window.pads_begin[axis])?;
        window.pads_end[axis] = end.checked_sub(window.pads_end[axis])?;
    }
    window.strides.iter().all(|&s| s == 1).then_some(window)
}
