//! Reverse-mode differentiation as a table of rules, one per operator. A rule receives the
//! cotangent of a node's result and adds nodes that compute the cotangent of one operand.

mod elementwise;
mod layout;
mod product;
mod window;

use crate::op::*;
use crate::{Error, ErrorKind, Graph, Op, ValueId};
use elementwise::*;
use layout::*;
use product::*;
pub(crate) use window::conv_rule;
use window::*;

/// Adds nodes that compute the vector-Jacobian product `cotangentᵀ · ∂output/∂wrt`, whose type is
/// that of `wrt`. Only nodes on a path from `wrt` to `output` are visited, so that no gradient of a
/// weight is ever built.
///
/// Where an operator is not differentiable the subgradient is PyTorch's: the derivative of `max(x,
/// 0)` at 0 and of clipping at its bounds is 0; of equal maxima under a window the first receives
/// all; equal maxima of a reduction, and equal operands of a maximum or minimum, receive equal
/// shares.
///
/// # Errors
/// If the cotangent's type is not that of `output`, or an operator on the path has no rule; the
/// message names the node.
pub fn vjp(
    graph: &mut Graph,
    output: ValueId,
    cotangent: ValueId,
    wrt: ValueId,
) -> Result<ValueId, Error> {
    if graph.ty(cotangent) != graph.ty(output) {
        let (found, expected) = (graph.ty(cotangent), graph.ty(output));
        return Err(Error::new(
            ErrorKind::InvalidGraph,
            format!("the cotangent must be {expected} like the output, it is {found}"),
        ));
    }
    cotangent_of(graph, output, cotangent, wrt, |_, _, missing| Err(missing))
}

/// The nodes on a path from `wrt` to `output` that have no gradient rule, in topological order: all
/// at which [`vjp`] would fail, one after another.
///
/// # Errors
/// If the gradient of the other nodes cannot be built.
pub fn without_gradient(
    graph: &Graph,
    output: ValueId,
    wrt: ValueId,
) -> Result<Vec<ValueId>, Error> {
    let mut scratch = graph.clone();
    let cotangent = zeros_like(&mut scratch, output)?;
    let mut missing = Vec::new();
    // The search continues behind a node without a rule, with a cotangent of zeros.
    cotangent_of(&mut scratch, output, cotangent, wrt, |graph, site, _| {
        missing.push(site.value);
        zeros_like(graph, site.operand)
    })?;
    missing.sort();
    missing.dedup();
    Ok(missing)
}

/// Walks from `output` to `wrt`, applying rules. `missing` provides the cotangent of an operand
/// without a rule.
fn cotangent_of(
    graph: &mut Graph,
    output: ValueId,
    cotangent: ValueId,
    wrt: ValueId,
    mut missing: impl FnMut(&mut Graph, &Site, Error) -> Rule,
) -> Rule {
    let depends = graph.depends_on(wrt);
    let needed = graph.needed_for([output]);
    let mut cotangents: Vec<Option<ValueId>> = vec![None; graph.nodes().len()];
    cotangents[output.index()] = Some(cotangent);

    for index in (wrt.index() + 1..=output.index()).rev() {
        let value = ValueId::from_index(index);
        let (true, true, Some(dy)) = (depends[index], needed[index], cotangents[index]) else {
            continue;
        };
        let node = graph.node(value).clone();
        graph.at(format!(
            "gradient of {}",
            origin_or_op(&node.origin, &node.op)
        ));
        for (position, &operand) in node.operands.iter().enumerate() {
            if !depends[operand.index()] {
                continue;
            }
            let site = Site {
                value,
                position,
                operand,
                dy,
            };
            let contribution = match site.rule(graph, &node.op, &node.operands) {
                Err(error) if error.kind() == ErrorKind::NoGradient => {
                    Some(missing(graph, &site, error)?)
                }
                other => other?,
            };
            if let Some(contribution) = contribution {
                let sum = match cotangents[operand.index()] {
                    Some(earlier) => graph.add_values(earlier, contribution)?,
                    None => contribution,
                };
                cotangents[operand.index()] = Some(sum);
            }
        }
    }
    match cotangents[wrt.index()] {
        Some(gradient) => Ok(gradient),
        None => zeros_like(graph, wrt),
    }
}

fn zeros_like(g: &mut Graph, x: ValueId) -> Result<ValueId, Error> {
    let zero = g.scalar(0.0)?;
    g.expand(zero, g.shape(x).clone())
}

fn origin_or_op<'a>(origin: &'a str, op: &Op) -> &'a str {
    if origin.is_empty() { op.name() } else { origin }
}

/// An operand of a node, and the cotangent of the node's result.
struct Site {
    value: ValueId,
    position: usize,
    operand: ValueId,
    dy: ValueId,
}

type Rule = Result<ValueId, Error>;

impl Site {
    /// The cotangent of the operand; `None` if the result is piecewise constant in it.
    fn rule(&self, g: &mut Graph, op: &Op, x: &[ValueId]) -> Result<Option<ValueId>, Error> {
        let dy = self.dy;
        let first = self.position == 0;
        let cotangent = match op {
            Op::Conv(conv) if first => conv_rule(g, conv, x, dy),
            Op::ConvTranspose(conv) if first => conv_transpose_rule(g, conv, x, dy),
            Op::BatchNorm(norm) if first => batch_norm_rule(g, norm, x, dy),
            Op::Relu => relu_rule(g, self.value, dy),
            Op::Unary(unary) => unary_rule(g, *unary, x[0], self.value, dy),
            Op::MaxPool(window) => g.add(Op::MaxPoolGrad(window.clone()), &[x[0], dy]),
            Op::AvgPool(pool) => avg_pool_rule(g, pool, x[0], dy),
            Op::Binary(binary) => binary_rule(g, *binary, x, self.value, first, dy),
            Op::Where => where_rule(g, x, self.position, dy),
            Op::Concat(concat) => concat_rule(g, *concat, x, self.position, dy),
            Op::Slice(slice) => slice_rule(g, slice, x[0], dy),
            Op::Pad(pad) => pad_rule(g, pad, x[0], dy),
            Op::Reshape(_) => g.reshape(dy, g.shape(x[0]).clone()),
            Op::Expand(_) => sum_to_shape(g, dy, g.shape(x[0]).clone()),
            Op::Transpose(perm) => g.add(Op::Transpose(inverse(perm)), &[dy]),
            Op::MatMul => mat_mul_rule(g, x, first, dy),
            Op::Gemm(gemm) => gemm_rule(g, gemm, x, self.position, dy),
            Op::Reduce(reduce) => reduce_rule(g, reduce, x[0], self.value, dy),
            Op::Softmax(Axis(axis)) => softmax_rule(g, self.value, *axis, dy),
            Op::LogSoftmax(Axis(axis)) => log_softmax_rule(g, x[0], *axis, dy),
            Op::Compare(_) | Op::ArgMax(_) | Op::OneHot(_) => return Ok(None),
            Op::Input(_) | Op::Constant(_) => return Ok(None),
            Op::Conv(_)
            | Op::ConvTranspose(_)
            | Op::BatchNorm(_)
            | Op::MaxPoolGrad(_)
            | Op::TopK(_) => Err(self.no_gradient(g)),
        }?;
        Ok(Some(cotangent))
    }

    fn no_gradient(&self, g: &Graph) -> Error {
        let (place, position) = (g.describe(self.value), self.position);
        Error::new(
            ErrorKind::NoGradient,
            format!("{place}: there is no gradient rule with respect to operand {position}"),
        )
    }
}
