//! Operators that rearrange elements: Transpose, Concat, Tile, Pad, DepthToSpace, SpaceToDepth.

use super::pick::{fixed_extent, pick};
use crate::Error;
use crate::onnx::read::builder::{Builder, Built};
use crate::onnx::read::const_value::{ConstValue, elements};
use crate::onnx::read::node::{Node, axis, sizes};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{Evaluated, Moved, Operator, Read, one, one_constant, operator};
use odin_graph::op::{Concat, Pad, PadAxis};
use odin_graph::{Dim, Op, Shape, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Concat", concat).of_all(concat_constants),
    operator("DepthToSpace", depth_to_space),
    operator("Dropout", dropout),
    operator("Identity", identity).of_first(|_, _, x| one_constant(x.clone())),
    operator("Pad", pad),
    operator("SpaceToDepth", space_to_depth),
    operator("Tile", tile).of_first(tile_constant),
    operator("Transpose", transpose).of_first(transpose_constant),
];

fn identity(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    one(node.value(g, 0)?)
}

/// Nothing, unless the network is to be trained.
fn dropout(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let trains = match node.opset {
        ..=6 => node.int("is_test", 0)? == 0,
        7..=11 => false,
        12.. => {
            let mode = node.constant(g, 2)?;
            mode.is_some_and(|mode| mode.data.iter().any(|n| n.holds()))
        }
    };
    match trains {
        true => Err(Error::unsupported(
            "it is in training mode; export the network for inference (model.eval())",
        )),
        false => identity(g, node),
    }
}

/// The order of axes, reversed unless given.
fn permutation(node: &Node<'_>, rank: usize) -> Result<Vec<usize>, Error> {
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

fn transpose(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let perm = permutation(node, g.rank(x))?;
    one(g.op(Op::Transpose(perm), &[x])?)
}

fn transpose_constant(_: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    one_constant(x.transposed(&permutation(node, x.shape.len())?))
}

/// Operands that lack the batch axis, such as a class token, are repeated for every image.
fn concat(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let mut parts = Vec::new();
    for i in 0..node.inputs.len() {
        parts.push(node.value(g, i)?);
    }
    let rank = parts.first().map_or(0, |&p| g.rank(p));
    let along = axis(node.int("axis", 0)?, rank)?;
    let growing = |g: &Builder<'_>, axis: usize| {
        let dims = parts
            .iter()
            .filter_map(|&p| g.graph.shape(p).dims().get(axis).copied());
        dims.into_iter().find(|d| d.fixed().is_none())
    };
    let batch: Vec<Option<Dim>> = (0..rank)
        .map(|axis| growing(g, axis).filter(|_| axis != along))
        .collect();
    for part in &mut parts {
        let mut dims = g.graph.shape(*part).dims().to_vec();
        let mut repeated = false;
        for (dim, batch) in dims.iter_mut().zip(&batch) {
            if let (Dim::Fixed(1), Some(batch)) = (*dim, *batch) {
                *dim = batch;
                repeated = true;
            }
        }
        if repeated {
            *part = g.expand(*part, Shape::new(dims))?;
        }
    }
    one(g.op(Op::Concat(Concat { axis: along }), &parts)?)
}

fn concat_constants(_: &mut Builder<'_>, node: &Node<'_>, parts: &[ConstValue]) -> Evaluated {
    let Some(first) = parts.first() else {
        return Err(Error::corrupt("it has no operands"));
    };
    let along = axis(node.int("axis", 0)?, first.shape.len())?;
    let fits = |part: &ConstValue| {
        part.shape.len() == first.shape.len()
            && (0..part.shape.len()).all(|a| a == along || part.shape[a] == first.shape[a])
    };
    if !parts.iter().all(fits) {
        return Err(Error::corrupt("the operands' shapes do not fit"));
    }
    let outer: usize = first.shape[..along].iter().product();
    let piece = |part: &ConstValue| part.shape[along..].iter().product::<usize>();
    let data = (0..outer)
        .flat_map(|i| {
            parts
                .iter()
                .flat_map(move |p| &p.data[i * piece(p)..][..piece(p)])
        })
        .copied()
        .collect();
    let mut shape = first.shape.clone();
    shape[along] = parts.iter().map(|p| p.shape[along]).sum();
    let kind = first.kind;
    Ok(Some(ConstValue { kind, shape, data }))
}

fn tile(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(g, 0)?;
    let repeats = node.constant_ints(g, 1)?.unwrap_or_default();
    let repeats = sizes(&repeats, "repeats")?;
    for (axis, &count) in repeats.iter().enumerate().filter(|&(_, &n)| n != 1) {
        x = repeat(g, x, axis, count)?;
    }
    one(x)
}

/// The whole of an axis `times` times, one after the other.
fn repeat(g: &mut Builder<'_>, x: ValueId, axis: usize, times: usize) -> Built {
    if axis >= g.rank(x) || times == 0 {
        return Err(Error::corrupt(format!(
            "axis {axis} cannot be repeated {times} times"
        )));
    }
    let extent = fixed_extent(g, x, axis)?;
    let dims = g.graph.shape(x).dims().to_vec();
    let mut apart = dims.clone();
    apart.insert(axis, Dim::Fixed(1));
    let mut repeated = dims.clone();
    repeated.insert(axis, Dim::Fixed(times));
    let mut joined = dims;
    joined[axis] = Dim::Fixed(extent.saturating_mul(times));
    let apart = g.reshape(x, Shape::new(apart))?;
    let repeated = g.expand(apart, Shape::new(repeated))?;
    g.reshape(repeated, Shape::new(joined))
}

fn tile_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let repeats = node.constant_ints(g, 1)?.unwrap_or_default();
    let repeats = sizes(&repeats, "repeats")?;
    let mut result = x.clone();
    for (axis, &count) in repeats.iter().enumerate().take(x.shape.len()) {
        let extent = result.shape[axis];
        g.spend::<[Number; 2]>(elements(&result.shape)?.saturating_mul(count))?;
        let list: Vec<usize> = (0..extent.saturating_mul(count))
            .map(|i| i % extent)
            .collect();
        result = result.take(axis, &list);
    }
    one_constant(result)
}

/// Borders are an attribute up to version 10, an operand from 11; negative ones cut off.
fn pad(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(g, 0)?;
    let rank = g.rank(x);
    let pads = match node.ints("paddings")? {
        Some(pads) => Some(pads),
        None => node.ints_or_input(g, "pads", 1)?,
    };
    let pads = pads.ok_or_else(|| Error::corrupt("it has no pads"))?;
    let axes: Vec<usize> = match node.constant_ints(g, 3)? {
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
    let fill = node.constant(g, 2)?.and_then(|k| k.data.first().copied());
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
        let extent = fixed_extent(g, x, axis)?;
        if before < 0 || after < 0 {
            let start = before.min(0).unsigned_abs() as usize;
            let end = extent.saturating_sub(after.min(0).unsigned_abs() as usize);
            g.spend::<usize>(extent)?;
            let kept: Vec<usize> = (start..end).collect();
            x = pick(g, x, axis, &kept)?;
        }
        let (before, after) = (before.max(0) as usize, after.max(0) as usize);
        match mode.as_str() {
            "constant" => borders.push(PadAxis {
                axis,
                before,
                after,
            }),
            mode => {
                let extent = fixed_extent(g, x, axis)?;
                g.spend::<usize>(extent.saturating_add(before).saturating_add(after))?;
                let list = reflected(mode, before, after, extent)?;
                x = pick(g, x, axis, &list)?;
            }
        }
    }
    borders.retain(|b| b.before + b.after > 0);
    match borders.is_empty() {
        true => one(x),
        false => one(g.op(
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

fn depth_to_space(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let block = sizes(&[node.int("blocksize", 0)?], "blocksize")?[0];
    let (batch, [c, h, w]) = image(g, x)?;
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
        g,
        x,
        batch,
        &apart,
        perm,
        &[c / depth, h * block, w * block],
    )
}

fn space_to_depth(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let block = sizes(&[node.int("blocksize", 0)?], "blocksize")?[0];
    let (batch, [c, h, w]) = image(g, x)?;
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
    rearrange(g, x, batch, &apart, perm, &[depth, h / block, w / block])
}

/// `[N, C, H, W]` taken apart.
fn image(g: &Builder<'_>, x: ValueId) -> Result<(Dim, [usize; 3]), Error> {
    match g.graph.shape(x).dims() {
        [batch, Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] => Ok((*batch, [*c, *h, *w])),
        _ => Err(Error::unsupported(format!(
            "it works on [N, C, H, W], not on {}",
            g.graph.shape(x)
        ))),
    }
}

fn rearrange(
    g: &mut Builder<'_>,
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
    let split = g.reshape(x, with_batch(apart))?;
    let moved = g.op(Op::Transpose(perm), &[split])?;
    one(g.reshape(moved, with_batch(joined))?)
}
