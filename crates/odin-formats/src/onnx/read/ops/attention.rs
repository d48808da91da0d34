//! Scaled dot-product attention, an operator of its own from version 23.

use crate::Error;
use crate::onnx::read::builder::{Builder, Built};
use crate::onnx::read::node::{Node, sizes};
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::op::{Axis, Binary};
use odin_graph::{DType, Dim, Op, Shape, ValueId};

pub(super) const OPERATORS: &[Operator] = &[operator("Attention", attention)];

/// `softmax(scale · Q Kᵀ + mask) V` for each head; without caches of keys and values.
fn attention(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    const KNOWN: [&str; 7] = [
        "is_causal",
        "kv_num_heads",
        "q_num_heads",
        "qk_matmul_output_mode",
        "scale",
        "softcap",
        "softmax_precision",
    ];
    let unknown = node
        .proto
        .attribute
        .iter()
        .find(|a| !KNOWN.contains(&&a.name[..]));
    if let Some(unknown) = unknown {
        return Err(Error::unsupported(format!(
            "attention with {}",
            unknown.name
        )));
    }
    let unsupported = [
        (node.int("is_causal", 0)? != 0, "causal masks"),
        (node.float("softcap", 0.0)? != 0.0, "softcap"),
        (
            node.optional(4).is_some() || node.optional(5).is_some(),
            "caches",
        ),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(found, _)| *found) {
        return Err(Error::unsupported(format!("attention with {what}")));
    }
    let (q, k, v) = (node.value(g, 0)?, node.value(g, 1)?, node.value(g, 2)?);
    let joined = g.rank(q) == 3;
    let heads = |name: &str| -> Result<usize, Error> { Ok(sizes(&[node.int(name, 0)?], name)?[0]) };
    let (q, k, v) = match joined {
        true => {
            let (own, shared) = (heads("q_num_heads")?, heads("kv_num_heads")?);
            (
                apart(g, q, own)?,
                apart(g, k, shared)?,
                apart(g, v, shared)?,
            )
        }
        false => (q, k, v),
    };
    let width = g.graph.shape(q).dims().last().map_or(1, |d| d.at(1));
    let scale = node.float("scale", 1.0 / (width as f32).sqrt())?;
    let scale = g.scalar(scale)?;
    let transposed = g.op(Op::Transpose(vec![0, 1, 3, 2]), &[k])?;
    let products = g.op(Op::MatMul, &[q, transposed])?;
    let products = g.op(Op::Binary(Binary::Mul), &[products, scale])?;
    let weights = match node.optional_value(g, 3)? {
        Some(mask) => masked_softmax(g, products, mask)?,
        None => g.op(Op::Softmax(Axis(3)), &[products])?,
    };
    let result = g.op(Op::MatMul, &[weights, v])?;
    match joined {
        true => one(together(g, result)?),
        false => one(result),
    }
}

/// A mask is added, or says what counts; where nothing does, all weights are 0.
fn masked_softmax(g: &mut Builder<'_>, products: ValueId, mask: ValueId) -> Built {
    if g.graph.ty(mask).dtype != DType::Bool {
        let sum = g.op(Op::Binary(Binary::Add), &[products, mask])?;
        return g.op(Op::Softmax(Axis(3)), &[sum]);
    }
    let (lowest, zero) = (g.scalar(f32::MIN)?, g.scalar(0.0)?);
    let products = g.op(Op::Where, &[mask, products, lowest])?;
    let weights = g.op(Op::Softmax(Axis(3)), &[products])?;
    g.op(Op::Where, &[mask, weights, zero])
}

/// `[N, L, heads · width]` to `[N, heads, L, width]`.
fn apart(g: &mut Builder<'_>, x: ValueId, heads: usize) -> Built {
    let &[batch, length, Dim::Fixed(width)] = g.graph.shape(x).dims() else {
        return Err(Error::corrupt("attention needs [N, L, width]"));
    };
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(Error::corrupt(format!(
            "{width} features do not make {heads} heads"
        )));
    }
    let dims = [batch, length, Dim::Fixed(heads), Dim::Fixed(width / heads)];
    let split = g.reshape(x, Shape::new(dims))?;
    g.op(Op::Transpose(vec![0, 2, 1, 3]), &[split])
}

/// The reverse.
fn together(g: &mut Builder<'_>, x: ValueId) -> Built {
    let swapped = g.op(Op::Transpose(vec![0, 2, 1, 3]), &[x])?;
    let &[batch, length, Dim::Fixed(heads), Dim::Fixed(width)] = g.graph.shape(swapped).dims()
    else {
        return Err(Error::corrupt("attention needs heads of a fixed width"));
    };
    let dims = [batch, length, Dim::Fixed(heads * width)];
    g.reshape(swapped, Shape::new(dims))
}
