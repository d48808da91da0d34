//! Reductions along axes, ArgMax, TopK and OneHot.

use super::arithmetic::magnitude;
use crate::Error;
use crate::onnx::read::builder::{Builder, Built};
use crate::onnx::read::const_value::ConstValue;
use crate::onnx::read::node::{Node, axes, axis};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{Evaluated, Operator, Read, constants_only, one, operator};
use odin_graph::op::{Axis, Binary, ReduceKind, TopK, Unary};
use odin_graph::{Op, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("ArgMax", arg_max),
    operator("OneHot", one_hot),
    operator("ReduceL1", |g, n| {
        reduce(g, n, magnitude, ReduceKind::Sum, same)
    }),
    operator("ReduceL2", |g, n| {
        reduce(g, n, square, ReduceKind::Sum, root)
    }),
    operator("ReduceLogSumExp", |g, n| {
        reduce(g, n, exponential, ReduceKind::Sum, logarithm)
    }),
    operator("ReduceMax", |g, n| {
        reduce(g, n, same, ReduceKind::Max, same)
    })
    .of_all(|g, n, x| total(g, n, x, Number::max)),
    operator("ReduceMean", |g, n| {
        reduce(g, n, same, ReduceKind::Mean, same)
    }),
    operator("ReduceMin", |g, n| {
        reduce(g, n, negative, ReduceKind::Max, negative)
    })
    .of_all(|g, n, x| total(g, n, x, Number::min)),
    constants_only("ReduceProd", |g, n, x| total(g, n, x, Number::mul)),
    operator("ReduceSum", |g, n| {
        reduce(g, n, same, ReduceKind::Sum, same)
    })
    .of_all(|g, n, x| total(g, n, x, Number::add)),
    operator("ReduceSumSquare", |g, n| {
        reduce(g, n, square, ReduceKind::Sum, same)
    }),
    operator("TopK", top_k),
];

/// What is done to the elements before or after they are reduced.
type Step = fn(&mut Builder<'_>, ValueId) -> Built;

/// Axes are an attribute in older versions of the operators, an operand in newer ones.
fn reduce(
    g: &mut Builder<'_>,
    node: &Node<'_>,
    before: Step,
    kind: ReduceKind,
    after: Step,
) -> Read {
    let x = node.value(g, 0)?;
    let rank = g.rank(x);
    let given = node.ints_or_input(g, "axes", 1)?;
    let along = match given.filter(|a| !a.is_empty()) {
        Some(given) => axes(&given, rank)?,
        None if node.int("noop_with_empty_axes", 0)? != 0 => return one(x),
        None => (0..rank).collect(),
    };
    let keep = node.int("keepdims", 1)? != 0;
    let x = before(g, x)?;
    let reduced = g.reduce(x, kind, along, keep)?;
    one(after(g, reduced)?)
}

fn same(_: &mut Builder<'_>, x: ValueId) -> Built {
    Ok(x)
}

fn negative(g: &mut Builder<'_>, x: ValueId) -> Built {
    let minus_one = g.scalar(-1.0)?;
    g.op(Op::Binary(Binary::Mul), &[x, minus_one])
}

fn square(g: &mut Builder<'_>, x: ValueId) -> Built {
    g.op(Op::Binary(Binary::Mul), &[x, x])
}

fn root(g: &mut Builder<'_>, x: ValueId) -> Built {
    g.op(Op::Unary(Unary::Sqrt), &[x])
}

fn exponential(g: &mut Builder<'_>, x: ValueId) -> Built {
    g.op(Op::Unary(Unary::Exp), &[x])
}

fn logarithm(g: &mut Builder<'_>, x: ValueId) -> Built {
    g.op(Op::Unary(Unary::Log), &[x])
}

/// A vector of constants, reduced to one number.
fn total(
    g: &mut Builder<'_>,
    node: &Node<'_>,
    operands: &[ConstValue],
    combine: fn(Number, Number) -> Option<Number>,
) -> Evaluated {
    let Some(x) = operands.first() else {
        return Ok(None);
    };
    let axes = node.ints_or_input(g, "axes", 1)?;
    let whole = x.shape.len() == 1 && axes.is_none_or(|axes| matches!(axes[..], [0 | -1]));
    let mut numbers = x.data.iter().copied();
    let first = numbers.next().filter(|_| whole);
    let total = first.and_then(|n| numbers.try_fold(n, combine));
    let keep = node.int("keepdims", 1)? != 0;
    Ok(total.map(|total| ConstValue {
        kind: x.kind,
        shape: if keep { vec![1] } else { Vec::new() },
        data: vec![total],
    }))
}

fn arg_max(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let along = axis(node.int("axis", 0)?, g.rank(x))?;
    if node.int("keepdims", 1)? != 0 || node.int("select_last_index", 0)? != 0 {
        return Err(Error::unsupported(
            "only the first largest entry, its axis dropped, is supported",
        ));
    }
    one(g.op(Op::ArgMax(Axis(along)), &[x])?)
}

/// The values; that nothing reads the indices is seen where they would be read.
fn top_k(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let axis = axis(node.int("axis", -1)?, g.rank(x))?;
    let k = match node.constant_ints(g, 1)? {
        Some(k) => k.first().copied().unwrap_or(0),
        None => node.int("k", 0)?,
    };
    let k = usize::try_from(k).unwrap_or(0);
    let top = |g: &mut Builder<'_>, x| g.op(Op::TopK(TopK { axis, k }), &[x]);
    if node.int("largest", 1)? != 0 {
        return one(top(g, x)?);
    }
    let opposite = negative(g, x)?;
    let least = top(g, opposite)?;
    one(negative(g, least)?)
}

/// Rows of 0 and 1 along a new innermost axis.
fn one_hot(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let indices = node.value(g, 0)?;
    let depth = node.constant_ints(g, 1)?.unwrap_or_default();
    let values = node.constant(g, 2)?;
    let values: Vec<f64> = values
        .map(|v| v.data.iter().map(|n| n.value).collect())
        .unwrap_or_default();
    let innermost = matches!(node.int("axis", -1)?, a if a == -1 || a == g.rank(indices) as i64);
    match (&depth[..], &values[..], innermost) {
        (&[depth @ 1..=1_000_000], [0.0, 1.0], true) => {
            one(g.op(Op::OneHot(depth as usize), &[indices])?)
        }
        _ => Err(Error::unsupported(
            "only rows of 0 and 1 along the innermost axis are supported",
        )),
    }
}
