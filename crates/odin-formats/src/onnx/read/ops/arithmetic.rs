//! Arithmetic, comparisons and conversions.

use super::{Read, one};
use crate::Error;
use crate::onnx::proto::data_type;
use crate::onnx::read::import::{Importer, Value};
use crate::onnx::read::node::{Node, axis};
use crate::onnx::read::tensor::type_name;
use odin_graph::op::{Binary, Compare, Unary};
use odin_graph::{DType, Dim, Op, Shape, ValueId};

fn operator(name: &str) -> Binary {
    match name {
        "Add" | "Sum" | "Mean" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Max" => Binary::Max,
        _ => Binary::Min,
    }
}

pub(super) fn binary(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (a, mut b) = (node.value(im, 0)?, node.value(im, 1)?);
    if node.opset < 7 && node.has("axis") {
        b = aligned(im, node, a, b)?;
    }
    one(im.op(Op::Binary(operator(node.op())), &[a, b])?)
}

/// Up to version 6 an attribute says which axis of the first operand the second begins at.
fn aligned(
    im: &mut Importer<'_>,
    node: &Node<'_>,
    a: ValueId,
    b: ValueId,
) -> Result<ValueId, Error> {
    let mut dims = im.graph.shape(b).dims().to_vec();
    let rank = im.rank(a) - axis(node.int("axis", 0)?, im.rank(a))?;
    dims.resize(rank.max(dims.len()), Dim::Fixed(1));
    im.reshape(b, Shape::new(dims))
}

/// `Sum`, `Mean`, `Max` and `Min` of any number of operands.
pub(super) fn variadic(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let mut result = node.value(im, 0)?;
    for i in 1..node.inputs.len() {
        let next = node.value(im, i)?;
        result = im.op(Op::Binary(operator(node.op())), &[result, next])?;
    }
    if node.op() == "Mean" {
        let count = im.scalar(node.inputs.len() as f32)?;
        result = im.op(Op::Binary(Binary::Div), &[result, count])?;
    }
    one(result)
}

pub(super) fn neg(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (x, minus_one) = (node.value(im, 0)?, im.scalar(-1.0)?);
    one(im.op(Op::Binary(Binary::Mul), &[x, minus_one])?)
}

pub(super) fn reciprocal(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (x, unit) = (node.value(im, 0)?, im.scalar(1.0)?);
    one(im.op(Op::Binary(Binary::Div), &[unit, x])?)
}

pub(super) fn abs(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    one(magnitude(im, x)?)
}

/// `max(x, -x)`, whose gradient at 0 is 0.
pub(super) fn magnitude(im: &mut Importer<'_>, x: ValueId) -> Result<ValueId, Error> {
    let minus_one = im.scalar(-1.0)?;
    let negative = im.op(Op::Binary(Binary::Mul), &[x, minus_one])?;
    im.op(Op::Binary(Binary::Max), &[x, negative])
}

pub(super) fn sign(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let [zero, up, down] = [im.scalar(0.0)?, im.scalar(1.0)?, im.scalar(-1.0)?];
    let positive = im.op(Op::Compare(Compare::Greater), &[x, zero])?;
    let negative = im.op(Op::Compare(Compare::Greater), &[zero, x])?;
    let rest = im.op(Op::Where, &[negative, down, zero])?;
    one(im.op(Op::Where, &[positive, up, rest])?)
}

/// Squares and roots have operators of their own, which are faster and defined for more numbers.
pub(super) fn pow(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let exponent = im.known_of(node.input(1)?);
    let single = exponent.filter(|e| e.data.len() == 1 && e.shape.iter().all(|&d| d == 1));
    let rank_kept = |im: &Importer<'_>, v: &Value| im.shape_of(v).rank() <= im.rank(x);
    let single = single.filter(|_| node.input(1).is_ok_and(|v| rank_kept(im, v)));
    match single.map(|e| e.data[0].value) {
        Some(1.0) => one(x),
        Some(2.0) => one(im.op(Op::Binary(Binary::Mul), &[x, x])?),
        Some(3.0) => {
            let square = im.op(Op::Binary(Binary::Mul), &[x, x])?;
            one(im.op(Op::Binary(Binary::Mul), &[square, x])?)
        }
        Some(0.5) => one(im.op(Op::Unary(Unary::Sqrt), &[x])?),
        _ => {
            let exponent = node.value(im, 1)?;
            one(im.op(Op::Binary(Binary::Pow), &[x, exponent])?)
        }
    }
}

pub(super) fn compare(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let (a, b) = (node.value(im, 0)?, node.value(im, 1)?);
    let (compare, operands) = match node.op() {
        "Greater" => (Compare::Greater, [a, b]),
        "GreaterOrEqual" => (Compare::GreaterOrEqual, [a, b]),
        "Less" => (Compare::Greater, [b, a]),
        _ => (Compare::GreaterOrEqual, [b, a]),
    };
    one(im.op(Op::Compare(compare), &operands)?)
}

pub(super) fn r#where(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let operands = [node.value(im, 0)?, node.value(im, 1)?, node.value(im, 2)?];
    one(im.op(Op::Where, &operands)?)
}

pub(super) fn cast(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let to = node.int("to", 0)? as i32;
    convert(im, node, to)
}

/// Real numbers stay what they are, as f32, whatever width the file gives them.
fn convert(im: &mut Importer<'_>, node: &Node<'_>, to: i32) -> Read {
    use data_type::*;
    let x = node.value(im, 0)?;
    let real = matches!(to, FLOAT | DOUBLE | FLOAT16 | BFLOAT16);
    match im.graph.ty(x).dtype {
        DType::Float if real => one(x),
        DType::Bool if to == BOOL => one(x),
        DType::Bool if real => {
            let (unit, zero) = (im.scalar(1.0)?, im.scalar(0.0)?);
            one(im.op(Op::Where, &[x, unit, zero])?)
        }
        DType::Int if matches!(to, INT32 | INT64) => one(x),
        other => Err(Error::unsupported(format!(
            "what is computed from the input, here {other}, is not turned into {}",
            type_name(to)
        ))),
    }
}

pub(super) fn cast_like(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let like = node.value(im, 1)?;
    let to = match im.graph.ty(like).dtype {
        DType::Bool => data_type::BOOL,
        DType::Int => data_type::INT64,
        _ => data_type::FLOAT,
    };
    convert(im, node, to)
}
