//! Comparisons, Boolean operators, Where and If; masks and the triangles that they are made of.

use super::elementwise::{joint_shape, map, predicate};
use crate::Error;
use crate::onnx::read::builder::{Builder, Built, invalid};
use crate::onnx::read::const_value::{ConstValue, Kind};
use crate::onnx::read::node::Node;
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{
    Evaluated, Moved, Operator, Read, branch, one, one_constant, operator,
};
use odin_graph::op::Compare;
use odin_graph::{Op, Shape, Tensor, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("And", |g, n| {
        masks(g, n, |g, [a, b, _, no]| g.op(Op::Where, &[a, b, no]))
    })
    .of_known(|g, _, x| predicate(g, x, |x, y| Some(x.holds() && y.holds()))),
    operator("Equal", equal).of_known(|g, _, x| predicate(g, x, |x, y| x.equals(y))),
    operator("Greater", |g, n| compare(g, n, Compare::Greater, [0, 1]))
        .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::gt))),
    operator("GreaterOrEqual", |g, n| {
        compare(g, n, Compare::GreaterOrEqual, [0, 1])
    })
    .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::ge))),
    branch("If"),
    operator("IsInf", is_infinite).of_known(is_infinite_constant),
    operator("IsNaN", is_nan).of_known(|g, _, x| truths(g, x, f64::is_nan)),
    operator("Less", |g, n| compare(g, n, Compare::Greater, [1, 0]))
        .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::lt))),
    operator("LessOrEqual", |g, n| {
        compare(g, n, Compare::GreaterOrEqual, [1, 0])
    })
    .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::le))),
    operator("Not", |g, n| {
        let x = n.value(g, 0)?;
        one(not(g, x)?)
    })
    .of_known(|_, _, x| map(x, |x| f64::from(x == 0.0))),
    operator("Or", |g, n| {
        masks(g, n, |g, [a, b, yes, _]| g.op(Op::Where, &[a, yes, b]))
    })
    .of_known(|g, _, x| predicate(g, x, |x, y| Some(x.holds() || y.holds()))),
    operator("Trilu", triangle).of_first(triangle_constant),
    operator("Where", r#where).of_all(chosen),
];

/// A mask that holds where a number is positive.
fn positive(g: &mut Builder<'_>, x: ValueId) -> Built {
    let zero = g.scalar(0.0)?;
    g.op(Op::Compare(Compare::Greater), &[x, zero])
}

/// Two masks, joined: of the first one and the second as numbers, with 1 and 0.
fn masks(
    g: &mut Builder<'_>,
    node: &Node<'_>,
    join: impl Fn(&mut Builder<'_>, [ValueId; 4]) -> Built,
) -> Read {
    let (a, b) = (node.value(g, 0)?, node.value(g, 1)?);
    let [yes, no] = [g.scalar(1.0)?, g.scalar(0.0)?];
    let b = g.op(Op::Where, &[b, yes, no])?;
    let joined = join(g, [a, b, yes, no])?;
    one(positive(g, joined)?)
}

fn not(g: &mut Builder<'_>, mask: ValueId) -> Built {
    let [yes, no] = [g.scalar(1.0)?, g.scalar(0.0)?];
    let opposite = g.op(Op::Where, &[mask, no, yes])?;
    positive(g, opposite)
}

/// Numbers of which none is greater.
fn equal(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (a, b) = (node.value(g, 0)?, node.value(g, 1)?);
    let at_least = |g: &mut Builder<'_>, a, b| g.op(Op::Compare(Compare::GreaterOrEqual), &[a, b]);
    let (from_above, from_below) = (at_least(g, a, b)?, at_least(g, b, a)?);
    let [yes, no] = [g.scalar(1.0)?, g.scalar(0.0)?];
    let from_below = g.op(Op::Where, &[from_below, yes, no])?;
    let both = g.op(Op::Where, &[from_above, from_below, no])?;
    one(positive(g, both)?)
}

/// What is not even equal to itself.
fn is_nan(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let number = g.op(Op::Compare(Compare::GreaterOrEqual), &[x, x])?;
    one(not(g, number)?)
}

/// Which infinities an `IsInf` finds: below, above.
fn infinities(node: &Node<'_>) -> Result<[bool; 2], Error> {
    let below = node.int("detect_negative", 1)? != 0;
    let above = node.int("detect_positive", 1)? != 0;
    Ok([below, above])
}

fn is_infinite(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let [yes, no] = [g.scalar(1.0)?, g.scalar(0.0)?];
    let [lowest, highest] = [g.scalar(f32::MIN)?, g.scalar(f32::MAX)?];
    let mut found = no;
    for (wanted, pair) in infinities(node)?
        .into_iter()
        .zip([[lowest, x], [x, highest]])
    {
        if wanted {
            let beyond = g.op(Op::Compare(Compare::Greater), &pair)?;
            found = g.op(Op::Where, &[beyond, yes, found])?;
        }
    }
    let shape = g.graph.shape(x).clone();
    let found = match g.graph.shape(found) == &shape {
        true => found,
        false => g.expand(found, shape)?,
    };
    one(positive(g, found)?)
}

fn is_infinite_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &[ConstValue]) -> Evaluated {
    let [below, above] = infinities(node)?;
    truths(g, x, |x| {
        (below && x == f64::NEG_INFINITY) || (above && x == f64::INFINITY)
    })
}

/// A truth value of each number.
fn truths(g: &mut Builder<'_>, x: &[ConstValue], f: impl Fn(f64) -> bool) -> Evaluated {
    let [x] = x else { return Ok(None) };
    g.spend::<Number>(x.data.len())?;
    let data = x.data.iter().map(|n| Number::truth(f(n.value))).collect();
    let (kind, shape) = (Kind::Bool, x.shape.clone());
    Ok(Some(ConstValue { kind, shape, data }))
}

/// The part of a matrix at and above, or at and below, a diagonal.
struct Triangle {
    rows: usize,
    columns: usize,
    upper: bool,
    diagonal: i64,
}

impl Triangle {
    fn of(g: &Builder<'_>, node: &Node<'_>, shape: &Shape) -> Result<Self, Error> {
        let extents = shape.dims().iter().map(|dim| dim.fixed());
        let extents: Vec<Option<usize>> = extents.collect();
        let &[.., Some(rows), Some(columns)] = &extents[..] else {
            return Err(Error::unsupported(format!(
                "a triangle needs matrices of fixed extents, here are {shape}"
            )));
        };
        let diagonal = node.constant_ints(g, 1)?.unwrap_or_default();
        Ok(Self {
            rows,
            columns,
            upper: node.int("upper", 1)? != 0,
            diagonal: diagonal.first().copied().unwrap_or(0),
        })
    }

    /// Whether an element of one matrix after the other is in it.
    fn holds(&self, i: usize) -> bool {
        let (row, column) = (i / self.columns % self.rows, i % self.columns);
        let from_diagonal = (column as i64 - row as i64).saturating_sub(self.diagonal);
        match self.upper {
            true => from_diagonal >= 0,
            false => from_diagonal <= 0,
        }
    }
}

/// A triangle of matrices, the rest of them 0.
fn triangle(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let shape = g.graph.shape(x).clone();
    let kept = Triangle::of(g, node, &shape)?;
    if let Some(tensor) = g.graph.constant_value(x).cloned() {
        g.spend::<f32>(tensor.data().len())?;
        let data = tensor.data().iter().enumerate();
        let data: Vec<f32> = data
            .map(|(i, &v)| if kept.holds(i) { v } else { 0.0 })
            .collect();
        let part = Tensor::new(tensor.shape().to_vec(), data).map_err(invalid)?;
        return one(g.graph.constant(part).map_err(invalid)?);
    }
    let count = kept.rows.saturating_mul(kept.columns);
    g.spend::<f32>(count)?;
    let mask: Vec<f32> = (0..count)
        .map(|i| f32::from(u8::from(kept.holds(i))))
        .collect();
    let mask = Tensor::new(vec![kept.rows, kept.columns], mask).map_err(invalid)?;
    let mask = g.graph.constant(mask).map_err(invalid)?;
    let (mask, zero) = (positive(g, mask)?, g.scalar(0.0)?);
    one(g.op(Op::Where, &[mask, x, zero])?)
}

fn triangle_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let kept = Triangle::of(g, node, &Shape::fixed(&x.shape))?;
    let mut part = x.clone();
    for (i, number) in part.data.iter_mut().enumerate() {
        if !kept.holds(i) {
            *number = Number::fixed(0.0);
        }
    }
    one_constant(part)
}

/// A comparison of two operands in this order.
fn compare(g: &mut Builder<'_>, node: &Node<'_>, by: Compare, order: [usize; 2]) -> Read {
    let operands = [node.value(g, 0)?, node.value(g, 1)?];
    one(g.op(Op::Compare(by), &order.map(|i| operands[i]))?)
}

fn r#where(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let operands = [node.value(g, 0)?, node.value(g, 1)?, node.value(g, 2)?];
    one(g.op(Op::Where, &operands)?)
}

fn chosen(g: &mut Builder<'_>, _: &Node<'_>, x: &[ConstValue]) -> Evaluated {
    let [condition, a, b] = x else {
        return Ok(None);
    };
    let shape = joint_shape(g, &[condition, a, b])?;
    let [condition, a, b] = [condition, a, b].map(|v| v.broadcast(&shape));
    let branches = a.data.iter().zip(&b.data);
    let chosen = condition.data.iter().zip(branches);
    let data = chosen.map(|(c, (a, b))| if c.holds() { *a } else { *b });
    let (kind, data) = (a.kind, data.collect());
    Ok(Some(ConstValue { kind, shape, data }))
}
