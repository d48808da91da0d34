//! Operators that move elements as a whole.

use super::pick::{fixed_extent, pick};
use super::{Read, one};
use crate::Error;
use crate::onnx::read::import::{Importer, Value};
use crate::onnx::read::known::{Kind, Known, Number};
use crate::onnx::read::node::{Node, axis, sizes};
use odin_graph::op::{Concat, Pad, PadAxis};
use odin_graph::{Dim, Op, Shape, ValueId};

pub(super) fn identity(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    one(node.value(im, 0)?)
}

pub(super) fn constant(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    if let Some(tensor) = node.tensor("value")? {
        return Ok(vec![im.constant(tensor)?]);
    }
    let number = |v: f64| Number::fixed(v);
    let scalar = |kind, v| Known {
        kind,
        shape: Vec::new(),
        data: vec![number(v)],
    };
    let known = if node.has("value_int") {
        scalar(Kind::Int, node.int("value_int", 0)? as f64)
    } else if node.has("value_float") {
        scalar(Kind::Float, f64::from(node.float("value_float", 0.0)?))
    } else if let Some(ints) = node.ints("value_ints")? {
        Known::vector(Kind::Int, ints.iter().map(|&v| number(v as f64)).collect())
    } else if let Some(floats) = node.floats("value_floats")? {
        let data = floats.iter().map(|&v| number(f64::from(v)));
        Known::vector(Kind::Float, data.collect())
    } else {
        return Err(Error::unsupported(
            "constants of text or with gaps are not read",
        ));
    };
    Ok(vec![Value::Known(known)])
}

/// The order of axes, reversed unless given.
pub(in super::super) fn permutation(node: &Node<'_>, rank: usize) -> Result<Vec<usize>, Error> {
    let perm = match node.ints("perm")? {
        Some(perm) => sizes(&perm, "perm")?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..rank) {
        true => Ok(perm),
        false => Err(Error::corrupt(format!(
            "{perm:?} is not an order of {rank} axes"
        ))),
    }
}

pub(super) fn transpose(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let perm = permutation(node, im.rank(x))?;
    one(im.op(Op::Transpose(perm), &[x])?)
}

/// Operands that lack the batch axis, such as a class token, are repeated for every image.
pub(super) fn concat(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let mut parts = Vec::new();
    for i in 0..node.inputs.len() {
        parts.push(node.value(im, i)?);
    }
    let rank = parts.first().map_or(0, |&p| im.rank(p));
    let along = axis(node.int("axis", 0)?, rank)?;
    let growing = |im: &Importer<'_>, axis: usize| {
        let dims = parts
            .iter()
            .filter_map(|&p| im.graph.shape(p).dims().get(axis).copied());
        dims.into_iter().find(|d| d.fixed().is_none())
    };
    let batch: Vec<Option<Dim>> = (0..rank)
        .map(|axis| growing(im, axis).filter(|_| axis != along))
        .collect();
    for part in &mut parts {
        let mut dims = im.graph.shape(*part).dims().to_vec();
        let mut repeated = false;
        for (dim, batch) in dims.iter_mut().zip(&batch) {
            if let (Dim::Fixed(1), Some(batch)) = (*dim, *batch) {
                *dim = batch;
                repeated = true;
            }
        }
        if repeated {
            *part = im.expand(*part, Shape::new(dims))?;
        }
    }
    one(im.op(Op::Concat(Concat { axis: along }), &parts)?)
}

pub(super) fn tile(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(im, 0)?;
    let repeats = node.known_ints(im, 1)?.unwrap_or_default();
    let repeats = sizes(&repeats, "repeats")?;
    for (axis, &count) in repeats.iter().enumerate().filter(|&(_, &n)| n != 1) {
        im.spend(count)?;
        x = im.op(Op::Concat(Concat { axis }), &vec![x; count])?;
    }
    one(x)
}

/// Borders are an attribute up to version 10, an operand from 11; negative ones cut off.
pub(super) fn pad(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(im, 0)?;
    let rank = im.rank(x);
    let pads = match node.ints("paddings")? {
        Some(pads) => Some(pads),
        None => node.ints_or_input(im, "pads", 1)?,
    };
    let pads = pads.ok_or_else(|| Error::corrupt("it has no pads"))?;
    let axes: Vec<usize> = match node.known_ints(im, 3)? {
        Some(given) => given
            .iter()
            .map(|&a| axis(a, rank))
            .collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Error::corrupt(format!(
            "pads {pads:?} do not have two entries for each of {} axes",
            axes.len()
        )));
    }
    let mode = node.text("mode", "constant")?;
    let fill = node.known(im, 2)?.and_then(|k| k.data.first().copied());
    let value = match fill {
        Some(number) => number.value as f32,
        None => node.float("value", 0.0)?,
    };
    let mut borders = Vec::new();
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[i], pads[axes.len() + i]);
        if before == 0 && after == 0 {
            continue;
        }
        let extent = fixed_extent(im, x, axis)?;
        if before < 0 || after < 0 {
            let start = before.min(0).unsigned_abs() as usize;
            let end = extent.saturating_sub(after.min(0).unsigned_abs() as usize);
            let kept: Vec<usize> = (start..end).collect();
            x = pick(im, x, axis, &kept)?;
        }
        let (before, after) = (before.max(0) as usize, after.max(0) as usize);
        match mode.as_str() {
            "constant" => borders.push(PadAxis {
                axis,
                before,
                after,
            }),
            mode => {
                let extent = fixed_extent(im, x, axis)?;
                im.spend(before.saturating_add(after))?;
                let list = reflected(mode, before, after, extent)?;
                x = pick(im, x, axis, &list)?;
            }
        }
    }
    borders.retain(|b| b.before + b.after > 0);
    match borders.is_empty() {
        true => one(x),
        false => one(im.op(
            Op::Pad(Pad {
                axes: borders,
                value,
            }),
            &[x],
        )?),
    }
}

/// Which entries stand in a border that repeats the inside.
fn reflected(mode: &str, before: usize, after: usize, extent: usize) -> Result<Vec<usize>, Error> {
    let n = extent as i64;
    let source = |i: i64| -> Option<i64> {
        match mode {
            "edge" => Some(i.clamp(0, n - 1)),
            "wrap" => Some(i.rem_euclid(n)),
            "reflect" if n > 1 => {
                let period = 2 * (n - 1);
                let folded = i.rem_euclid(period);
                Some(folded.min(period - folded))
            }
            "reflect" => Some(0),
            _ => None,
        }
    };
    let list: Option<Vec<usize>> = (-(before as i64)..n + after as i64)
        .map(|i| source(i).map(|i| i as usize))
        .collect();
    list.ok_or_else(|| Error::unsupported(format!("borders of mode {mode:?}")))
}

pub(super) fn depth_to_space(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let block = sizes(&[node.int("blocksize", 0)?], "blocksize")?[0];
    let (batch, [c, h, w]) = image(im, x)?;
    let depth = block.saturating_mul(block);
    if depth == 0 || !c.is_multiple_of(depth) {
        return Err(Error::corrupt(format!(
            "{c} channels do not make blocks of {block}"
        )));
    }
    let (apart, perm) = match node.text("mode", "DCR")?.as_str() {
        "CRD" => ([c / depth, block, block, h, w], vec![0, 1, 4, 2, 5, 3]),
        _ => ([block, block, c / depth, h, w], vec![0, 3, 4, 1, 5, 2]),
    };
    rearrange(
        im,
        x,
        batch,
        &apart,
        perm,
        &[c / depth, h * block, w * block],
    )
}

pub(super) fn space_to_depth(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let block = sizes(&[node.int("blocksize", 0)?], "blocksize")?[0];
    let (batch, [c, h, w]) = image(im, x)?;
    if block == 0 || !h.is_multiple_of(block) || !w.is_multiple_of(block) {
        return Err(Error::corrupt(format!(
            "{h}x{w} does not split into blocks of {block}"
        )));
    }
    let apart = [c, h / block, block, w / block, block];
    let perm = match node.text("mode", "DCR")?.as_str() {
        "CRD" => vec![0, 1, 3, 5, 2, 4],
        _ => vec![0, 3, 5, 1, 2, 4],
    };
    let depth = c.saturating_mul(block).saturating_mul(block);
    rearrange(im, x, batch, &apart, perm, &[depth, h / block, w / block])
}

/// `[N, C, H, W]` taken apart.
fn image(im: &Importer<'_>, x: ValueId) -> Result<(Dim, [usize; 3]), Error> {
    match im.graph.shape(x).dims() {
        [batch, Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] => Ok((*batch, [*c, *h, *w])),
        _ => Err(Error::unsupported(format!(
            "it works on [N, C, H, W], not on {}",
            im.graph.shape(x)
        ))),
    }
}

fn rearrange(
    im: &mut Importer<'_>,
    x: ValueId,
    batch: Dim,
    apart: &[usize],
    perm: Vec<usize>,
    joined: &[usize],
) -> Read {
    let with_batch = |rest: &[usize]| {
        let rest = rest.iter().map(|&d| Dim::Fixed(d));
        Shape::new(std::iter::once(batch).chain(rest).collect::<Vec<_>>())
    };
    let split = im.reshape(x, with_batch(apart))?;
    let moved = im.op(Op::Transpose(perm), &[split])?;
    one(im.reshape(moved, with_batch(joined))?)
}
