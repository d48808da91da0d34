//! Scaled dot-product attention, an operator of its own from version 23.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::import::Importer;
use crate::onnx::read::node::{Node, sizes};
use odin_graph::op::{Axis, Binary};
use odin_graph::{DType, Dim, Op, Shape, ValueId};

type Built = Result<ValueId, Error>;

/// `softmax(scale · Q Kᵀ + mask) V` for each head; without caches of keys and values.
pub(super) fn attention(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
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
    let (q, k, v) = (node.value(im, 0)?, node.value(im, 1)?, node.value(im, 2)?);
    let joined = im.rank(q) == 3;
    let heads = |name: &str| -> Result<usize, Error> { Ok(sizes(&[node.int(name, 0)?], name)?[0]) };
    let (q, k, v) = match joined {
        true => {
            let (own, shared) = (heads("q_num_heads")?, heads("kv_num_heads")?);
            (
                apart(im, q, own)?,
                apart(im, k, shared)?,
                apart(im, v, shared)?,
            )
        }
        false => (q, k, v),
    };
    let width = im.graph.shape(q).dims().last().map_or(1, |d| d.at(1));
    let scale = node.float("scale", 1.0 / (width as f32).sqrt())?;
    let scale = im.scalar(scale)?;
    let transposed = im.op(Op::Transpose(vec![0, 1, 3, 2]), &[k])?;
    let products = im.op(Op::MatMul, &[q, transposed])?;
    let products = im.op(Op::Binary(Binary::Mul), &[products, scale])?;
    let weights = match node.optional_value(im, 3)? {
        Some(mask) => masked_softmax(im, products, mask)?,
        None => im.op(Op::Softmax(Axis(3)), &[products])?,
    };
    let result = im.op(Op::MatMul, &[weights, v])?;
    match joined {
        true => one(together(im, result)?),
        false => one(result),
    }
}

/// A mask is added, or says what counts; where nothing does, all weights are 0.
fn masked_softmax(im: &mut Importer<'_>, products: ValueId, mask: ValueId) -> Built {
    if im.graph.ty(mask).dtype != DType::Bool {
        let sum = im.op(Op::Binary(Binary::Add), &[products, mask])?;
        return im.op(Op::Softmax(Axis(3)), &[sum]);
    }
    let (lowest, zero) = (im.scalar(f32::MIN)?, im.scalar(0.0)?);
    let products = im.op(Op::Where, &[mask, products, lowest])?;
    let weights = im.op(Op::Softmax(Axis(3)), &[products])?;
    im.op(Op::Where, &[mask, weights, zero])
}

/// `[N, L, heads · width]` to `[N, heads, L, width]`.
fn apart(im: &mut Importer<'_>, x: ValueId, heads: usize) -> Built {
    let &[batch, length, Dim::Fixed(width)] = im.graph.shape(x).dims() else {
        return Err(Error::corrupt("attention needs [N, L, width]"));
    };
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(Error::corrupt(format!(
            "{width} features do not make {heads} heads"
        )));
    }
    let dims = [batch, length, Dim::Fixed(heads), Dim::Fixed(width / heads)];
    let split = im.reshape(x, Shape::new(dims))?;
    im.op(Op::Transpose(vec![0, 2, 1, 3]), &[split])
}

/// The reverse.
fn together(im: &mut Importer<'_>, x: ValueId) -> Built {
    let swapped = im.op(Op::Transpose(vec![0, 2, 1, 3]), &[x])?;
    let &[batch, length, Dim::Fixed(heads), Dim::Fixed(width)] = im.graph.shape(swapped).dims()
    else {
        return Err(Error::corrupt("attention needs heads of a fixed width"));
    };
    let dims = [batch, length, Dim::Fixed(heads * width)];
    im.reshape(swapped, Shape::new(dims))
}
