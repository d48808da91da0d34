//! Reductions along axes.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::import::Importer;
use crate::onnx::read::node::{Node, axes, axis};
use odin_graph::op::{Axis, Binary, ReduceKind, Unary};
use odin_graph::{Op, ValueId};

/// Axes are an attribute in older versions of the operators, an operand in newer ones.
pub(super) fn reduce(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let rank = im.rank(x);
    let given = node.ints_or_input(im, "axes", 1)?.filter(|a| !a.is_empty());
    let along = match given {
        Some(given) => axes(&given, rank)?,
        None if node.int("noop_with_empty_axes", 0)? != 0 => return one(x),
        None => (0..rank).collect(),
    };
    let keep = node.int("keepdims", 1)? != 0;
    let by = |im: &mut Importer<'_>, x: ValueId, kind| im.reduce(x, kind, along.clone(), keep);
    let result = match node.op() {
        "ReduceMean" => by(im, x, ReduceKind::Mean)?,
        "ReduceSum" => by(im, x, ReduceKind::Sum)?,
        "ReduceMax" => by(im, x, ReduceKind::Max)?,
        "ReduceMin" => {
            let negative = scale(im, x, -1.0)?;
            let largest = by(im, negative, ReduceKind::Max)?;
            scale(im, largest, -1.0)?
        }
        "ReduceL1" => {
            let magnitude = super::arithmetic::magnitude(im, x)?;
            by(im, magnitude, ReduceKind::Sum)?
        }
        "ReduceSumSquare" | "ReduceL2" => {
            let square = im.op(Op::Binary(Binary::Mul), &[x, x])?;
            let sum = by(im, square, ReduceKind::Sum)?;
            match node.op() {
                "ReduceL2" => im.op(Op::Unary(Unary::Sqrt), &[sum])?,
                _ => sum,
            }
        }
        _ => {
            let exponential = im.op(Op::Unary(Unary::Exp), &[x])?;
            let sum = by(im, exponential, ReduceKind::Sum)?;
            im.op(Op::Unary(Unary::Log), &[sum])?
        }
    };
    one(result)
}

fn scale(im: &mut Importer<'_>, x: ValueId, by: f32) -> Result<ValueId, Error> {
    let by = im.scalar(by)?;
    im.op(Op::Binary(Binary::Mul), &[x, by])
}

pub(super) fn arg_max(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let along = axis(node.int("axis", 0)?, im.rank(x))?;
    if node.int("keepdims", 1)? != 0 || node.int("select_last_index", 0)? != 0 {
        return Err(Error::unsupported(
            "only the first largest entry, its axis dropped, is supported",
        ));
    }
    one(im.op(Op::ArgMax(Axis(along)), &[x])?)
}

/// Rows of 0 and 1 along a new innermost axis.
pub(super) fn one_hot(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let indices = node.value(im, 0)?;
    let depth = node.known_ints(im, 1)?.unwrap_or_default();
    let values = node.known(im, 2)?;
    let values: Vec<f64> = values
        .map(|v| v.data.iter().map(|n| n.value).collect())
        .unwrap_or_default();
    let innermost = matches!(node.int("axis", -1)?, a if a == -1 || a == im.rank(indices) as i64);
    match (&depth[..], &values[..], innermost) {
        (&[depth @ 1..=1_000_000], [0.0, 1.0], true) => {
            one(im.op(Op::OneHot(depth as usize), &[indices])?)
        }
        _ => Err(Error::unsupported(
            "only rows of 0 and 1 along the innermost axis are supported",
        )),
    }
}
