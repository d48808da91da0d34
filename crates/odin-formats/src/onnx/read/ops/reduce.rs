//! Reductions along axes, ArgMax, TopK and OneHot.

use super::arithmetic::magnitude;
use crate::Error;
use crate::onnx::read::builder::{Builder, Built, Value};
use crate::onnx::read::const_value::{ConstValue, Kind};
use crate::onnx::read::node::{Node, axes, axis};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{Evaluated, Operator, Read, constants_only, one, operator};
use odin_graph::op::{Axis, Binary, ReduceKind, TopK, Unary};
use odin_graph::{Op, ValueId};
use std::sync::Arc;

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

/// The largest entries along an axis, or the smallest, and where they are.
struct Top {
    axis: usize,
    count: usize,
    largest: bool,
}

impl Top {
    fn of(g: &Builder<'_>, node: &Node<'_>, rank: usize) -> Result<Self, Error> {
        let count = match node.has("k") {
            true => Some(node.int("k", 1)?),
            false => node.constant_ints(g, 1)?.and_then(|k| k.first().copied()),
        };
        let count = count.and_then(|k| usize::try_from(k).ok());
        Ok(Self {
            axis: axis(node.int("axis", -1)?, rank)?,
            count: count.ok_or_else(|| Error::corrupt("it does not say how many entries"))?,
            largest: node.int("largest", 1)? != 0,
        })
    }

    /// Of equal entries the first ones.
    fn of_constant(&self, x: &ConstValue) -> Result<[ConstValue; 2], Error> {
        let extent = x.shape[self.axis];
        if self.count > extent || !x.data.iter().all(|n| n.is_fixed()) {
            return Err(Error::corrupt(format!(
                "{} of {extent} entries cannot be taken",
                self.count
            )));
        }
        let inner: usize = x.shape[self.axis + 1..].iter().product();
        let outer: usize = x.shape[..self.axis].iter().product();
        let mut shape = x.shape.clone();
        shape[self.axis] = self.count;
        let zeros = vec![Number::fixed(0.0); outer * self.count * inner];
        let [mut values, mut places] = [zeros.clone(), zeros];
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let entry = |at: usize| x.data[(o * extent + at) * inner + i];
            let mut order: Vec<usize> = (0..extent).collect();
            order.sort_by(|&a, &b| {
                let order = entry(a).value.total_cmp(&entry(b).value);
                if self.largest { order.reverse() } else { order }
            });
            for (at, &place) in order[..self.count].iter().enumerate() {
                let to = (o * self.count + at) * inner + i;
                values[to] = entry(place);
                places[to] = Number::fixed(place as f64);
            }
        }
        let of = |kind, data| ConstValue {
            kind,
            shape: shape.clone(),
            data,
        };
        Ok([of(x.kind, values), of(Kind::Int, places)])
    }
}

fn top_k(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let operand = node.input(0)?;
    let top = Top::of(g, node, g.shape_of(operand).rank())?;
    g.spend::<[Number; 3]>(g.const_len(operand))?;
    if let Some(x) = g.const_of(operand) {
        let parts = top.of_constant(&x)?;
        return Ok(parts.map(|part| Value::Const(Arc::new(part))).to_vec());
    }
    let x = node.value(g, 0)?;
    let step: Step = if top.largest { same } else { negative };
    let signed = step(g, x)?;
    if top.count != 1 {
        // The places of several are not known; where they are read, the reader says so.
        let values = TopK {
            axis: top.axis,
            k: top.count,
        };
        let values = g.op(Op::TopK(values), &[signed])?;
        return one(step(g, values)?);
    }
    let maximum = g.reduce(signed, ReduceKind::Max, vec![top.axis], true)?;
    let values = step(g, maximum)?;
    let places = g.op(Op::ArgMax(Axis(top.axis)), &[signed])?;
    let shape = g.graph.shape(values).clone();
    let places = g.reshape(places, shape)?;
    Ok([values, places].map(Value::Node).to_vec())
}
