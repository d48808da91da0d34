//! The pass that folds batch normalisations into convolutions.

use super::eliminate_dead_code;
use super::rebuild::{count_uses, rebuild};
use crate::op::BatchNorm;
use crate::{Error, Graph, Op, Tensor, ValueId};

/// Folds every batch normalisation of a convolution with no other reader into that convolution's
/// weights and bias: `scale/sqrt(var + ε)` multiplies the weights of each output channel, the rest
/// becomes bias. Computed in f64, rounded once.
///
/// # Errors
/// If the graph is not well formed.
pub fn fold_batch_norm(graph: &Graph) -> Result<Graph, Error> {
    let uses = count_uses(graph);
    let folded = rebuild(graph, |new, value, node| {
        let foldable = match node.op {
            Op::BatchNorm(norm) => {
                let source = graph.node(value).operands[0];
                let alone = uses[source.index()] == 1;
                alone.then(|| fold(new, &node.operands, norm)).flatten()
            }
            _ => None,
        };
        let Some(Folded {
            conv,
            weights,
            bias,
        }) = foldable
        else {
            return new.add(node.op, &node.operands).map(Some);
        };
        let x = new.node(conv).operands[0];
        let op = new.node(conv).op.clone();
        let (w, b) = (new.constant(weights)?, new.constant(bias)?);
        new.add(op, &[x, w, b]).map(Some)
    })?;
    eliminate_dead_code(&folded)
}

struct Folded {
    conv: ValueId,
    weights: Tensor,
    bias: Tensor,
}

/// The new weights; `None` if the operand is not a convolution or a parameter is not constant.
fn fold(graph: &Graph, operands: &[ValueId], norm: BatchNorm) -> Option<Folded> {
    let conv = operands[0];
    let Op::Conv(_) = graph.node(conv).op else {
        return None;
    };
    let data = |value: ValueId| graph.constant_value(value).map(Tensor::data);
    let (scale, shift) = (data(operands[1])?, data(operands[2])?);
    let (mean, var) = (data(operands[3])?, data(operands[4])?);
    let conv_operands = &graph.node(conv).operands;
    let weights = graph.constant_value(conv_operands[1])?;
    let old_bias = match conv_operands.get(2) {
        Some(&bias) => Some(data(bias)?),
        None => None,
    };

    let factor =
        |m: usize| f64::from(scale[m]) / (f64::from(var[m]) + f64::from(norm.epsilon)).sqrt();
    let per_output = weights.data().len() / scale.len();
    let new_weights: Vec<f32> = weights
        .data()
        .chunks_exact(per_output)
        .enumerate()
        .flat_map(|(m, row)| row.iter().map(move |&w| (f64::from(w) * factor(m)) as f32))
        .collect();
    let new_bias: Vec<f32> = (0..scale.len())
        .map(|m| {
            let bias = old_bias.map_or(0.0, |b| f64::from(b[m]));
            ((bias - f64::from(mean[m])) * factor(m) + f64::from(shift[m])) as f32
        })
        .collect();
    Some(Folded {
        conv,
        weights: Tensor::new(weights.shape().to_vec(), new_weights).ok()?,
        bias: Tensor::vector(new_bias),
    })
}
