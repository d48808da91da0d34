//! Products of matrices.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::import::{Importer, invalid};
use crate::onnx::read::node::Node;
use odin_graph::op::Gemm;
use odin_graph::{Dim, Op, Shape, ValueId};

/// Vectors are matrices of one row on the left, of one column on the right; the axis that was
/// added goes again.
pub(super) fn mat_mul(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (mut a, mut b) = (node.value(im, 0)?, node.value(im, 1)?);
    let (row, column) = (im.rank(a) == 1, im.rank(b) == 1);
    if row {
        a = with_axis(im, a, 0)?;
    }
    if column {
        b = with_axis(im, b, 1)?;
    }
    let product = im.op(Op::MatMul, &[a, b])?;
    let mut dims = im.graph.shape(product).dims().to_vec();
    if column {
        dims.pop();
    }
    if row {
        dims.remove(dims.len() - if column { 1 } else { 2 });
    }
    match row || column {
        true => one(im
            .graph
            .reshape(product, Shape::new(dims))
            .map_err(invalid)?),
        false => one(product),
    }
}

fn with_axis(im: &mut Importer<'_>, x: ValueId, at: usize) -> Result<ValueId, Error> {
    let mut dims = im.graph.shape(x).dims().to_vec();
    dims.insert(at, Dim::Fixed(1));
    im.reshape(x, Shape::new(dims))
}

pub(super) fn gemm(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let mut operands = vec![node.value(im, 0)?, node.value(im, 1)?];
    operands.extend(node.optional_value(im, 2)?);
    let gemm = Gemm {
        alpha: node.float("alpha", 1.0)?,
        beta: node.float("beta", 1.0)?,
        trans_a: node.int("transA", 0)? != 0,
        trans_b: node.int("transB", 0)? != 0,
    };
    one(im.op(Op::Gemm(gemm), &operands)?)
}
