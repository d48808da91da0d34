//! Comparisons, Boolean operators, Where and If.

use super::elementwise::{joint_shape, map, predicate};
use crate::onnx::read::builder::Builder;
use crate::onnx::read::const_value::ConstValue;
use crate::onnx::read::node::Node;
use crate::onnx::read::operator::{
    Evaluated, Operator, Read, branch, constants_only, one, operator,
};
use odin_graph::Op;
use odin_graph::op::Compare;

pub(super) const OPERATORS: &[Operator] = &[
    constants_only("And", |g, _, x| {
        predicate(g, x, |x, y| Some(x.holds() && y.holds()))
    }),
    constants_only("Equal", |g, _, x| predicate(g, x, |x, y| x.equals(y))),
    operator("Greater", |g, n| compare(g, n, Compare::Greater, [0, 1]))
        .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::gt))),
    operator("GreaterOrEqual", |g, n| {
        compare(g, n, Compare::GreaterOrEqual, [0, 1])
    })
    .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::ge))),
    branch("If"),
    operator("Less", |g, n| compare(g, n, Compare::Greater, [1, 0]))
        .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::lt))),
    operator("LessOrEqual", |g, n| {
        compare(g, n, Compare::GreaterOrEqual, [1, 0])
    })
    .of_all(|g, _, x| predicate(g, x, |x, y| x.compare(y, f64::le))),
    constants_only("Not", |_, _, x| map(x, |x| f64::from(x == 0.0))),
    constants_only("Or", |g, _, x| {
        predicate(g, x, |x, y| Some(x.holds() || y.holds()))
    }),
    operator("Where", r#where).of_all(chosen),
];

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
