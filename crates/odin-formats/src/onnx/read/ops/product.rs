//! Matrix products: MatMul, Gemm, Einsum.

use crate::Error;
use crate::onnx::read::builder::Builder;
use crate::onnx::read::node::Node;
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::op::{Gemm, ReduceKind};
use odin_graph::{Dim, Op, Shape, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Einsum", einsum),
    operator("Gemm", gemm),
    operator("MatMul", mat_mul),
];

/// Vectors are matrices of one row on the left, of one column on the right; the axis that was
/// added goes again.
fn mat_mul(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (mut a, mut b) = (node.value(g, 0)?, node.value(g, 1)?);
    let (row, column) = (g.rank(a) == 1, g.rank(b) == 1);
    if row {
        a = with_axis(g, a, 0)?;
    }
    if column {
        b = with_axis(g, b, 1)?;
    }
    let product = g.op(Op::MatMul, &[a, b])?;
    let mut dims = g.graph.shape(product).dims().to_vec();
    if column {
        dims.pop();
    }
    if row {
        dims.remove(dims.len() - if column { 1 } else { 2 });
    }
    match row || column {
        true => one(g.reshape(product, Shape::new(dims))?),
        false => one(product),
    }
}

fn with_axis(g: &mut Builder<'_>, x: ValueId, at: usize) -> Result<ValueId, Error> {
    let mut dims = g.graph.shape(x).dims().to_vec();
    dims.insert(at, Dim::Fixed(1));
    g.reshape(x, Shape::new(dims))
}

/// Far more characters than the equations of networks have.
const LONGEST_EQUATION: usize = 256;

/// Sums of products over labelled axes, of one or two operands, such as `oc,nchw->nohw`.
fn einsum(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let equation = node.text("equation", "")?.replace(' ', "");
    if equation.chars().count() > LONGEST_EQUATION {
        return Err(Error::unsupported("an equation of so many axes"));
    }
    let (inputs, output) = terms(&equation)?;
    let output: Vec<char> = output.chars().collect();
    let labels: Vec<Vec<char>> = inputs.iter().map(|t| t.chars().collect()).collect();
    let refused = |why: &str| Error::unsupported(format!("{equation:?}: {why}"));
    let mut operands = Vec::new();
    for (i, labels) in labels.iter().enumerate() {
        let x = node.value(g, i)?;
        let distinct = labels
            .iter()
            .enumerate()
            .all(|(i, l)| !labels[..i].contains(l));
        if labels.len() != g.rank(x) || !distinct || labels.contains(&'.') {
            return Err(refused("axes must be named one by one"));
        }
        operands.push((x, labels.clone()));
    }
    // Labels of only one operand that the result lacks are summed over first.
    for i in 0..operands.len() {
        let (x, own) = operands[i].clone();
        let others: Vec<char> = operands
            .iter()
            .enumerate()
            .filter(|(k, _)| *k != i)
            .flat_map(|(_, (_, labels))| labels.clone())
            .collect();
        let keep = |l: &char| others.contains(l) || output.contains(l);
        let gone: Vec<usize> = (0..own.len()).filter(|&a| !keep(&own[a])).collect();
        if !gone.is_empty() {
            let sum = g.reduce(x, ReduceKind::Sum, gone, false)?;
            operands[i] = (sum, own.into_iter().filter(keep).collect());
        }
    }
    let (result, labels) = match &operands[..] {
        [(x, labels)] => (*x, labels.clone()),
        [a, b] => contract(g, a.clone(), b.clone(), &output)?,
        _ => return Err(refused("only one or two operands are supported")),
    };
    let order = output.iter().map(|l| labels.iter().position(|k| k == l));
    let order: Option<Vec<usize>> = order.collect();
    let order = order.filter(|o| o.len() == labels.len());
    let order = order.ok_or_else(|| refused("the result names an axis that no operand has"))?;
    match order.iter().copied().eq(0..labels.len()) {
        true => one(result),
        false => one(g.op(Op::Transpose(order), &[result])?),
    }
}

fn terms(equation: &str) -> Result<(Vec<&str>, String), Error> {
    if let Some((inputs, output)) = equation.split_once("->") {
        return Ok((inputs.split(',').collect(), output.to_string()));
    }
    // Without a result named, it has the labels that occur once, in alphabetical order.
    let mut once: Vec<char> = equation.chars().filter(|c| *c != ',').collect();
    once.retain(|c| equation.matches(*c).count() == 1);
    once.sort_unstable();
    Ok((equation.split(',').collect(), once.into_iter().collect()))
}

type Labelled = (ValueId, Vec<char>);

/// As a product of matrices: shared axes that stay lead, then those of one operand alone; shared
/// axes that go are summed over.
fn contract(
    g: &mut Builder<'_>,
    (a, of_a): Labelled,
    (b, of_b): Labelled,
    output: &[char],
) -> Result<Labelled, Error> {
    let shared = |l: &&char| of_a.contains(l) && of_b.contains(l);
    let pick = |labels: &[char], f: &dyn Fn(&&char) -> bool| -> Vec<char> {
        labels.iter().filter(f).copied().collect()
    };
    let lead = pick(&of_a, &|l| shared(l) && output.contains(l));
    let inner = pick(&of_a, &|l| shared(l) && !output.contains(l));
    let left = pick(&of_a, &|l| !shared(l));
    let right = pick(&of_b, &|l| !shared(l));
    let (x, left_dims) = matrix(g, a, &of_a, [&lead, &left, &inner])?;
    let (y, right_dims) = matrix(g, b, &of_b, [&lead, &inner, &right])?;
    let product = g.op(Op::MatMul, &[x, y])?;
    let mut dims = left_dims[..lead.len() + left.len()].to_vec();
    dims.extend(&right_dims[lead.len() + inner.len()..]);
    let result = g.reshape(product, Shape::new(dims))?;
    Ok((result, [lead, left, right].concat()))
}

/// The axes in three groups, the last two taken together to one axis each; and all extents in
/// that order.
fn matrix(
    g: &mut Builder<'_>,
    x: ValueId,
    labels: &[char],
    groups: [&[char]; 3],
) -> Result<(ValueId, Vec<Dim>), Error> {
    let position = |l: &char| labels.iter().position(|k| k == l);
    let perm: Vec<usize> = groups.concat().iter().filter_map(position).collect();
    let ordered = g.op(Op::Transpose(perm), &[x])?;
    let dims = g.graph.shape(ordered).dims().to_vec();
    let [lead, rows, _] = groups.map(<[char]>::len);
    let mut joined = dims[..lead].to_vec();
    joined.push(together(&dims[lead..lead + rows]));
    joined.push(together(&dims[lead + rows..]));
    Ok((g.reshape(ordered, Shape::new(joined))?, dims))
}

fn together(dims: &[Dim]) -> Dim {
    let count = dims.iter().map(|d| d.at(1)).product();
    match dims.iter().all(|d| d.fixed().is_some()) {
        true => Dim::Fixed(count),
        false => Dim::PerImage(count),
    }
}

fn gemm(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let mut operands = vec![node.value(g, 0)?, node.value(g, 1)?];
    operands.extend(node.optional_value(g, 2)?);
    let gemm = Gemm {
        alpha: node.float("alpha", 1.0)?,
        beta: node.float("beta", 1.0)?,
        trans_a: node.int("transA", 0)? != 0,
        trans_b: node.int("transB", 0)? != 0,
    };
    one(g.op(Op::Gemm(gemm), &operands)?)
}
