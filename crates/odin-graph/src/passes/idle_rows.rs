//! Rows that nothing depends on: a network that classifies one token of many needs, behind the last
//! operator that mixes tokens, only that token's row, and the gradient of every other row is 0 there.
//!
//! Slices move towards the inputs, and paddings of gradients with zeros towards the outputs, past
//! operators that compute each row from the same row: elementwise ones, reductions along a row, and
//! products with a constant. The rows that are left are computed as before, to the last bit. A
//! row of zeros stays zeros even where the activation that it is multiplied with is not a finite number
//! or negative, which would make it NaN or -0.

use super::eliminate_dead_code;
use crate::cost::node_multiply_adds;
use crate::maybe_negative;
use crate::op::{self, Binary, PadAxis, ReduceKind, SliceAxis, Unary};
use crate::{Dim, Error, Graph, Node, Op, Shape, ValueId};

/// The graph without rows that nothing depends on; the same graph if that saves no products.
///
/// # Errors
/// If a node of the smaller graph were invalid, which a correct pass does not make.
pub fn eliminate_idle_rows(graph: &Graph) -> Result<Graph, Error> {
    let padded_last = eliminate_dead_code(&paddings_last(graph)?)?;
    let fewer = eliminate_dead_code(&slices_first(&padded_last)?)?;
    let cost = |graph: &Graph| -> u64 {
        let needed = graph.needed_for_outputs();
        let values = graph.values().filter(|v| needed[v.index()]);
        values
            .map(|v| node_multiply_adds(graph, v))
            .fold(0, u64::saturating_add)
    };
    match cost(&fewer) < cost(graph) {
        true => Ok(fewer),
        false => Ok(graph.clone()),
    }
}

/// Some rows: consecutive entries of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rows {
    axis: usize,
    start: usize,
    end: usize,
    /// The extent of the axis.
    all: usize,
}

impl Rows {
    /// What a slice keeps, if that is consecutive entries of one axis.
    fn of_slice(graph: &Graph, slice: &op::Slice, x: ValueId) -> Option<Self> {
        let [cut] = slice.axes[..] else { return None };
        let all = graph.shape(x).dims()[cut.axis].fixed()?;
        let (axis, start, end) = (cut.axis, cut.start, cut.end.min(all));
        (cut.step == 1 && start < end).then_some(Self {
            axis,
            start,
            end,
            all,
        })
    }

    /// What a padding with zeros surrounds.
    fn of_padding(graph: &Graph, pad: &op::Pad, v: ValueId) -> Option<Self> {
        let [border] = pad.axes[..] else { return None };
        let all = graph.shape(v).dims()[border.axis].fixed()?;
        let (axis, start) = (border.axis, border.before);
        let end = all.checked_sub(border.after)?;
        (pad.value == 0.0 && start < end).then_some(Self {
            axis,
            start,
            end,
            all,
        })
    }

    fn slice(self) -> Op {
        let Self {
            axis, start, end, ..
        } = self;
        let axes = vec![SliceAxis {
            axis,
            start,
            end,
            step: 1,
        }];
        Op::Slice(op::Slice { axes })
    }

    fn padding(self) -> Op {
        let axes = vec![PadAxis {
            axis: self.axis,
            before: self.start,
            after: self.all - self.end,
        }];
        Op::Pad(op::Pad { axes, value: 0.0 })
    }

    /// The same rows of an operand of an operator that computes row by row, whose axes are aligned with
    /// those of the result, of rank `rank`, from the last on; `None` if it has one row or none, which is
    /// broadcast.
    fn of_operand(self, rank: usize, shape: &Shape) -> Option<Self> {
        let axis = (self.axis + shape.rank()).checked_sub(rank)?;
        (shape.dims()[axis].fixed() == Some(self.all)).then_some(Self { axis, ..self })
    }

    /// The operator for these rows of its result alone.
    fn restricted(self, op: &Op) -> Op {
        match op {
            Op::Expand(shape) | Op::Reshape(shape) => {
                let mut dims = shape.dims().to_vec();
                dims[self.axis] = Dim::Fixed(self.end - self.start);
                match op {
                    Op::Expand(_) => Op::Expand(Shape::new(dims)),
                    _ => Op::Reshape(Shape::new(dims)),
                }
            }
            other => other.clone(),
        }
    }
}

/// Whether each of these rows of the result is computed from the same row of the operands, or from those
/// that have no such axis.
fn is_row_wise(graph: &Graph, node: &Node, rows: Rows) -> bool {
    let rank = node.ty.shape.rank();
    match &node.op {
        Op::Unary(_) | Op::Binary(_) | Op::Expand(_) => true,
        // As gradients have them, that only state a shape.
        Op::Reshape(shape) => graph.shape(node.operands[0]) == shape,
        Op::Reduce(reduce) => reduce.keep_dims && !reduce.axes.contains(&rows.axis),
        Op::MatMul => {
            let [a, b] = node.operands[..] else {
                return false;
            };
            let is_constant = graph.constant_value(b).is_some();
            let same_rank = graph.shape(a).rank() == rank;
            is_constant && same_rank && graph.shape(b).rank() == 2 && rows.axis + 2 == rank
        }
        _ => false,
    }
}

/// Of a row-wise operator whether operand `i` has rows.
fn has_rows(node: &Node, i: usize) -> bool {
    !matches!(node.op, Op::MatMul) || i == 0
}

/// Moves paddings with zeros behind row-wise operators whose result is 0 in the same rows.
fn paddings_last(graph: &Graph) -> Result<Graph, Error> {
    let mut new = Graph::with_budget(graph.budget());
    // Of each value of the old graph the new one; if rows are given it holds only these, and the others
    // are 0.
    let mut all: Vec<(ValueId, Option<Rows>)> = Vec::new();
    let mut padded: Vec<Option<ValueId>> = Vec::new();
    for v in graph.values() {
        let node = graph.node(v);
        new.at(node.origin.clone());
        let operands: Vec<(ValueId, Option<Rows>)> =
            node.operands.iter().map(|x| all[x.index()]).collect();
        let value = match (&node.op, &operands[..]) {
            (Op::Pad(pad), [(x, None)]) if Rows::of_padding(graph, pad, v).is_some() => {
                (*x, Rows::of_padding(graph, pad, v))
            }
            _ => match rows_beside_zeros(graph, node, &operands) {
                Some(rows) => {
                    let mut own = Vec::new();
                    for (i, &(x, has)) in operands.iter().enumerate() {
                        let shape = graph.shape(node.operands[i]);
                        let part = rows.of_operand(node.ty.shape.rank(), shape);
                        own.push(match part.filter(|_| has.is_none() && has_rows(node, i)) {
                            Some(part) => new.add(part.slice(), &[x])?,
                            None => x,
                        });
                    }
                    (new.add(rows.restricted(&node.op), &own)?, Some(rows))
                }
                None => {
                    let mut own = Vec::new();
                    for (x, &(value, rows)) in node.operands.iter().zip(&operands) {
                        own.push(match (rows, padded[x.index()]) {
                            (None, _) => value,
                            (Some(_), Some(whole)) => whole,
                            (Some(rows), None) => {
                                let whole = new.add(rows.padding(), &[value])?;
                                padded[x.index()] = Some(whole);
                                whole
                            }
                        });
                    }
                    (new.add(node.op.clone(), &own)?, None)
                }
            },
        };
        all.push(value);
        padded.push(None);
    }
    for output in graph.outputs() {
        let (value, rows) = all[output.value.index()];
        let value = match rows {
            Some(rows) => new.add(rows.padding(), &[value])?,
            None => value,
        };
        new.output(output.name.clone(), value);
    }
    Ok(new)
}

/// The rows outside of which the result is 0 because operands are, if the operator is row-wise.
fn rows_beside_zeros(
    graph: &Graph,
    node: &Node,
    operands: &[(ValueId, Option<Rows>)],
) -> Option<Rows> {
    let rank = node.ty.shape.rank();
    // In the axes of the result.
    let rows_of = |i: usize| {
        let rows = operands[i].1?;
        let shape = graph.shape(node.operands[i]);
        let axis = (rows.axis + rank).checked_sub(shape.rank())?;
        let is_whole = node.ty.shape.dims()[axis].fixed() == Some(rows.all);
        is_whole.then_some(Rows { axis, ..rows })
    };
    let rows = match &node.op {
        Op::Binary(Binary::Mul) if keeps_zeros(graph, node) => rows_of(0).or_else(|| rows_of(1)),
        Op::Binary(Binary::Div)
            if operands[1].1.is_none() && is_nonzero(graph, node.operands[1]) =>
        {
            rows_of(0)
        }
        Op::Binary(Binary::Add | Binary::Sub) => rows_of(0).filter(|_| rows_of(0) == rows_of(1)),
        Op::Reduce(reduce) if reduce.kind != ReduceKind::Max => rows_of(0),
        Op::MatMul if keeps_zeros(graph, node) => rows_of(0),
        Op::Expand(_) | Op::Reshape(_) => rows_of(0),
        _ => None,
    }?;
    let agree = (0..operands.len()).all(|i| operands[i].1.is_none() || rows_of(i) == Some(rows));
    (agree && is_row_wise(graph, node, rows)).then_some(rows)
}

/// Whether 0 times each constant factor is 0.
fn keeps_zeros(graph: &Graph, node: &Node) -> bool {
    let factors = node
        .operands
        .iter()
        .filter_map(|&x| graph.constant_value(x));
    factors
        .flat_map(|t| t.data())
        .all(|value| value.is_finite())
}

/// Whether a divisor is certain not to be 0: a constant, or a root or sum that has a positive term, as
/// normalisations have it.
fn is_nonzero(graph: &Graph, v: ValueId) -> bool {
    let node = graph.node(v);
    let is_positive = |x: ValueId| {
        let constant = graph.constant_value(x);
        constant.is_some_and(|t| t.data().iter().all(|&value| value > 0.0))
    };
    match (&node.op, &node.operands[..]) {
        (Op::Constant(t), _) => t.data().iter().all(|&value| value != 0.0),
        (Op::Unary(Unary::Sqrt | Unary::Exp), &[x]) => is_nonzero(graph, x),
        (Op::Expand(_) | Op::Reshape(_), &[x]) => is_nonzero(graph, x),
        (Op::Binary(Binary::Add), &[a, b]) => {
            let adds = |a, b| is_positive(b) && maybe_negative(graph, a).is_none();
            adds(a, b) || adds(b, a)
        }
        _ => false,
    }
}

/// What readers need of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Only(Rows),
    All,
}

impl Need {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, need) | (need, Self::Nothing) => need,
            (one, other) if one == other => one,
            _ => Self::All,
        }
    }
}

/// Moves slices before the row-wise operators whose other rows nothing reads.
fn slices_first(graph: &Graph) -> Result<Graph, Error> {
    let needs = needs(graph);
    let mut new = Graph::with_budget(graph.budget());
    // Of each value of the old graph the new one, which holds only the rows that are given.
    let mut all: Vec<(ValueId, Option<Rows>)> = Vec::new();
    for v in graph.values() {
        let node = graph.node(v);
        new.at(node.origin.clone());
        let own = |i: usize| all[node.operands[i].index()];
        let slice = match &node.op {
            Op::Slice(slice) => Rows::of_slice(graph, slice, node.operands[0]),
            _ => None,
        };
        if slice.is_some() && own(0).1 == slice {
            all.push((own(0).0, None));
            continue;
        }
        let rows = match needs[v.index()] {
            Need::Only(rows) => Some(rows),
            _ => None,
        };
        let inside = rows.filter(|&rows| is_row_wise(graph, node, rows));
        let mut operands = Vec::new();
        for i in 0..node.operands.len() {
            let shape = graph.shape(node.operands[i]);
            let part = inside.and_then(|rows| rows.of_operand(node.ty.shape.rank(), shape));
            let part = part.filter(|_| has_rows(node, i) && own(i).1.is_none());
            operands.push(match part {
                Some(part) => new.add(part.slice(), &[own(i).0])?,
                None => own(i).0,
            });
        }
        let op = inside.map_or_else(|| node.op.clone(), |rows| rows.restricted(&node.op));
        let value = new.add(op, &operands)?;
        let value = match rows.filter(|_| inside.is_none()) {
            Some(rows) => new.add(rows.slice(), &[value])?,
            None => value,
        };
        all.push((value, rows));
    }
    for output in graph.outputs() {
        new.output(output.name.clone(), all[output.value.index()].0);
    }
    Ok(new)
}

fn needs(graph: &Graph) -> Vec<Need> {
    let mut needs = vec![Need::Nothing; graph.nodes().len()];
    for output in graph.outputs() {
        needs[output.value.index()] = Need::All;
    }
    for v in graph.values().rev() {
        let (node, need) = (graph.node(v), needs[v.index()]);
        for (i, x) in node.operands.iter().enumerate() {
            let of_operand = match (need, &node.op) {
                (Need::Nothing, _) => Need::Nothing,
                // What only some rows of a slice are needed of is sliced whole.
                (_, Op::Slice(slice)) => {
                    Rows::of_slice(graph, slice, *x).map_or(Need::All, Need::Only)
                }
                (Need::Only(rows), _) if has_rows(node, i) && is_row_wise(graph, node, rows) => {
                    let part = rows.of_operand(node.ty.shape.rank(), graph.shape(*x));
                    part.map_or(Need::All, Need::Only)
                }
                _ => Need::All,
            };
            let joined = needs[x.index()].join(of_operand);
            needs[x.index()] = match graph.node(*x).op {
                Op::Input(_) | Op::Constant(_) => Need::All,
                _ => joined,
            };
        }
    }
    needs
}
