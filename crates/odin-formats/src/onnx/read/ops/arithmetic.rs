//! Arithmetic and type conversions.

use super::elementwise::{arithmetic, map, round};
use crate::Error;
use crate::onnx::proto::data_type;
use crate::onnx::read::builder::{Builder, Built, Value};
use crate::onnx::read::const_value::{ConstValue, Kind};
use crate::onnx::read::node::{Node, axis};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{
    Evaluated, Operator, Read, constants_only, one, one_constant, operator,
};
use crate::onnx::read::tensor::type_name;
use odin_graph::op::{Binary, Compare, Unary};
use odin_graph::{DType, Dim, Op, Shape, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Abs", abs).of_all(|_, _, x| map(x, f64::abs)),
    operator("Add", |g, n| binary(g, n, Binary::Add))
        .of_all(|g, _, x| arithmetic(g, x, |x, y, _| x.add(y))),
    operator("Cast", cast).of_first(|_, node, x| {
        let to = node.int("to", 0)? as i32;
        one_constant(converted(x, to))
    }),
    operator("CastLike", cast_like),
    constants_only("Ceil", |_, _, x| round(x, f64::ceil)),
    operator("Div", |g, n| binary(g, n, Binary::Div))
        .of_all(|g, _, x| arithmetic(g, x, Number::div)),
    constants_only("Floor", |_, _, x| round(x, f64::floor)),
    operator("Max", |g, n| variadic(g, n, Binary::Max))
        .of_all(|g, _, x| arithmetic(g, x, |x, y, _| x.max(y))),
    operator("Mean", mean),
    operator("Min", |g, n| variadic(g, n, Binary::Min))
        .of_all(|g, _, x| arithmetic(g, x, |x, y, _| x.min(y))),
    constants_only("Mod", modulo),
    operator("Mul", |g, n| binary(g, n, Binary::Mul))
        .of_all(|g, _, x| arithmetic(g, x, |x, y, _| x.mul(y))),
    operator("Neg", neg).of_all(|_, _, x| map(x, |x| -x)),
    operator("Pow", pow).of_all(|g, _, x| arithmetic(g, x, |x, y, _| x.with(y, f64::powf))),
    operator("Reciprocal", reciprocal).of_all(|_, _, x| map(x, f64::recip)),
    constants_only("Round", |_, _, x| round(x, f64::round_ties_even)),
    operator("Sign", sign).of_all(|_, _, x| map(x, |x| if x == 0.0 { 0.0 } else { x.signum() })),
    operator("Sub", |g, n| binary(g, n, Binary::Sub))
        .of_all(|g, _, x| arithmetic(g, x, |x, y, _| x.sub(y))),
    operator("Sum", |g, n| variadic(g, n, Binary::Add)),
];

fn binary(g: &mut Builder<'_>, node: &Node<'_>, op: Binary) -> Read {
    let (a, mut b) = (node.value(g, 0)?, node.value(g, 1)?);
    if node.opset < 7 && node.has("axis") {
        b = aligned(g, node, a, b)?;
    }
    one(g.op(Op::Binary(op), &[a, b])?)
}

/// Up to version 6 an attribute says which axis of the first operand the second begins at.
fn aligned(g: &mut Builder<'_>, node: &Node<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Error> {
    let mut dims = g.graph.shape(b).dims().to_vec();
    let rank = g.rank(a) - axis(node.int("axis", 0)?, g.rank(a))?;
    dims.resize(rank.max(dims.len()), Dim::Fixed(1));
    g.reshape(b, Shape::new(dims))
}

/// `Sum`, `Max` and `Min` of any number of operands.
fn variadic(g: &mut Builder<'_>, node: &Node<'_>, op: Binary) -> Read {
    one(combined(g, node, op)?)
}

fn mean(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let sum = combined(g, node, Binary::Add)?;
    let count = g.scalar(node.inputs.len() as f32)?;
    one(g.op(Op::Binary(Binary::Div), &[sum, count])?)
}

fn combined(g: &mut Builder<'_>, node: &Node<'_>, op: Binary) -> Built {
    let mut result = node.value(g, 0)?;
    for i in 1..node.inputs.len() {
        let next = node.value(g, i)?;
        result = g.op(Op::Binary(op), &[result, next])?;
    }
    Ok(result)
}

/// Of integers the rest has the sign of the divisor, or with `fmod` that of the dividend.
fn modulo(g: &mut Builder<'_>, node: &Node<'_>, x: &[ConstValue]) -> Evaluated {
    let of_dividend = node.int("fmod", 0)? != 0;
    arithmetic(g, x, |x, y, _| match of_dividend {
        true => x.with(y, |x, y| x % y),
        false if y.value == 0.0 => None,
        false => x.with(y, |x, y| x - y * (x / y).floor()),
    })
}

fn neg(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (x, minus_one) = (node.value(g, 0)?, g.scalar(-1.0)?);
    one(g.op(Op::Binary(Binary::Mul), &[x, minus_one])?)
}

fn reciprocal(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (x, unit) = (node.value(g, 0)?, g.scalar(1.0)?);
    one(g.op(Op::Binary(Binary::Div), &[unit, x])?)
}

fn abs(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    one(magnitude(g, x)?)
}

/// `max(x, -x)`, whose gradient at 0 is 0.
pub(super) fn magnitude(g: &mut Builder<'_>, x: ValueId) -> Result<ValueId, Error> {
    let minus_one = g.scalar(-1.0)?;
    let negative = g.op(Op::Binary(Binary::Mul), &[x, minus_one])?;
    g.op(Op::Binary(Binary::Max), &[x, negative])
}

fn sign(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let [zero, up, down] = [g.scalar(0.0)?, g.scalar(1.0)?, g.scalar(-1.0)?];
    let positive = g.op(Op::Compare(Compare::Greater), &[x, zero])?;
    let negative = g.op(Op::Compare(Compare::Greater), &[zero, x])?;
    let rest = g.op(Op::Where, &[negative, down, zero])?;
    one(g.op(Op::Where, &[positive, up, rest])?)
}

/// Squares and roots have operators of their own, which are faster and defined for more numbers.
fn pow(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let exponent = g.const_of(node.input(1)?);
    let single = exponent.filter(|e| e.data.len() == 1 && e.shape.iter().all(|&d| d == 1));
    let rank_kept = |g: &Builder<'_>, v: &Value| g.shape_of(v).rank() <= g.rank(x);
    let single = single.filter(|_| node.input(1).is_ok_and(|v| rank_kept(g, v)));
    match single.map(|e| e.data[0].value) {
        Some(1.0) => one(x),
        Some(2.0) => one(g.op(Op::Binary(Binary::Mul), &[x, x])?),
        Some(3.0) => {
            let square = g.op(Op::Binary(Binary::Mul), &[x, x])?;
            one(g.op(Op::Binary(Binary::Mul), &[square, x])?)
        }
        Some(0.5) => one(g.op(Op::Unary(Unary::Sqrt), &[x])?),
        _ => {
            let exponent = node.value(g, 1)?;
            one(g.op(Op::Binary(Binary::Pow), &[x, exponent])?)
        }
    }
}

fn cast(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let to = node.int("to", 0)? as i32;
    convert(g, node, to)
}

/// Real numbers stay what they are, as f32, whatever width the file gives them.
fn convert(g: &mut Builder<'_>, node: &Node<'_>, to: i32) -> Read {
    use data_type::*;
    let x = node.value(g, 0)?;
    let real = matches!(to, FLOAT | DOUBLE | FLOAT16 | BFLOAT16);
    match g.graph.ty(x).dtype {
        DType::Float if real => one(x),
        DType::Bool if to == BOOL => one(x),
        DType::Bool if real => {
            let (unit, zero) = (g.scalar(1.0)?, g.scalar(0.0)?);
            one(g.op(Op::Where, &[x, unit, zero])?)
        }
        DType::Int if matches!(to, INT32 | INT64) => one(x),
        other => Err(Error::unsupported(format!(
            "casting a value of type {other} that depends on the input to {} is not supported",
            type_name(to)
        ))),
    }
}

/// Constants, of another type.
fn converted(x: &ConstValue, to: i32) -> ConstValue {
    use data_type::*;
    let kind = match to {
        BOOL => Kind::Bool,
        FLOAT | DOUBLE | FLOAT16 | BFLOAT16 => Kind::Float,
        _ => Kind::Int,
    };
    let convert = |n: &Number| Number {
        value: match kind {
            Kind::Bool => f64::from(n.holds()),
            Kind::Int => n.value.trunc(),
            Kind::Float => n.value,
        },
        per_image: n.per_image && kind != Kind::Bool,
        slope: n.slope,
    };
    let (shape, data) = (x.shape.clone(), x.data.iter().map(convert).collect());
    ConstValue { kind, shape, data }.rounded()
}

fn cast_like(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let like = node.value(g, 1)?;
    let to = match g.graph.ty(like).dtype {
        DType::Bool => data_type::BOOL,
        DType::Int => data_type::INT64,
        _ => data_type::FLOAT,
    };
    convert(g, node, to)
}
