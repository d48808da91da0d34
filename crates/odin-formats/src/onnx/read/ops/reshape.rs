//! Operators that change the shape and keep the elements: Reshape, Flatten, Squeeze, Unsqueeze; and
//! Expand.

use crate::Error;
use crate::onnx::read::builder::{Builder, is_batched};
use crate::onnx::read::const_value::{ConstValue, Kind, check_rank, elements};
use crate::onnx::read::node::{self, Node};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{Moved, Operator, Read, one, one_constant, operator};
use odin_graph::{Dim, Shape, ValueId};
use std::sync::Arc;

pub(super) const OPERATORS: &[Operator] = &[
    operator("Expand", expand).of_first(expand_constant),
    operator("Flatten", flatten).of_first(flatten_constant),
    operator("Reshape", reshape).of_first(reshape_constant),
    operator("Squeeze", squeeze).of_first(squeeze_constant),
    operator("Unsqueeze", unsqueeze).of_first(unsqueeze_constant),
];

/// Extents given as numbers.
pub(super) fn shape_from(extents: &ConstValue) -> Result<Shape, Error> {
    extents.dims().map(Shape::new)
}

/// A target shape with 0 for "as before" and -1 for "the rest", filled in.
fn fixed_shape(own: &[usize], target: &[i64]) -> Result<Vec<usize>, Error> {
    let misfit = || Error::corrupt(format!("{own:?} cannot be read as {target:?}"));
    let mut shape = Vec::new();
    let mut rest = None;
    for (i, &extent) in target.iter().enumerate() {
        shape.push(match extent {
            -1 if rest.is_none() => {
                rest = Some(i);
                1
            }
            0 => own.get(i).copied().unwrap_or(0),
            _ => usize::try_from(extent).map_err(|_| misfit())?,
        });
    }
    check_rank(target.len())?;
    let total: usize = own.iter().product();
    if let Some(rest) = rest {
        let others = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let others = others.filter(|&n| n > 0 && total.is_multiple_of(n));
        shape[rest] = total / others.ok_or_else(misfit)?;
    }
    Ok(shape)
}

fn reshape(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let target = match node.ints("shape")? {
        Some(shape) => {
            let numbers = shape.iter().map(|&v| Number::fixed(v as f64));
            let target = ConstValue::vector(Kind::Int, numbers.collect());
            Some(Arc::new(target))
        }
        None => node.constant(g, 1)?,
    };
    let target = target.ok_or_else(|| Error::corrupt("it has no target shape"))?;
    let keep_zero = node.int("allowzero", 0)? != 0;
    let shape = target_shape(g, x, &target, keep_zero)?;
    one(g.reshape(x, shape)?)
}

fn reshape_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let target = node.constant_ints(g, 1)?.unwrap_or_default();
    one_constant(x.reshaped(fixed_shape(&x.shape, &target)?)?)
}

/// The target shape. Where its numbers were written for a fixed number of images, the batch axis
/// is found as the one that has as many elements before it as before.
fn target_shape(
    g: &Builder<'_>,
    x: ValueId,
    target: &ConstValue,
    keep_zero: bool,
) -> Result<Shape, Error> {
    check_rank(target.data.len())?;
    let own = g.graph.shape(x).dims();
    let count = own.iter().fold(1usize, |n, d| n.saturating_mul(d.at(1)));
    let misfit = || {
        let target: Vec<f64> = target.data.iter().map(|n| n.value).collect();
        Error::unsupported(format!("{} cannot be read as {target:?}", g.graph.shape(x)))
    };
    let mut dims = Vec::new();
    let mut rest = None;
    for (i, n) in target.data.iter().enumerate() {
        dims.push(match n.value {
            0.0 if !keep_zero && !n.per_image => *own.get(i).ok_or_else(misfit)?,
            -1.0 if rest.is_none() => {
                rest = Some(i);
                Dim::Fixed(1)
            }
            v if (0.0..1e15).contains(&v) && n.per_image => Dim::PerImage(v as usize),
            v if (0.0..1e15).contains(&v) => Dim::Fixed(v as usize),
            _ => return Err(misfit()),
        });
    }
    let explicit = is_batched(&dims);
    let others = dims.iter().fold(1usize, |n, d| n.saturating_mul(d.at(1)));
    let fill = |total: usize| (others > 0 && total.is_multiple_of(others)).then(|| total / others);
    if let Some(rest) = rest.filter(|_| explicit || g.fixed_batch.is_none()) {
        let extent = fill(count).ok_or_else(misfit)?;
        dims[rest] = match is_batched(own) && !explicit {
            true => Dim::PerImage(extent),
            false => Dim::Fixed(extent),
        };
    }
    if !is_batched(own) || explicit || (is_batched(&dims) && g.can_reshape(x, &dims)) {
        return Ok(Shape::new(dims));
    }
    // Written for a fixed number of images.
    let images = g.fixed_batch.unwrap_or(1);
    if let Some(rest) = rest {
        dims[rest] = Dim::Fixed(1);
        let total = count.checked_mul(images).ok_or_else(misfit)?;
        dims[rest] = Dim::Fixed(fill(total).ok_or_else(misfit)?);
    }
    let at = batch_axis(g, x, &dims, images).ok_or_else(misfit)?;
    dims[at] = Dim::PerImage(dims[at].at(1) / images);
    Ok(Shape::new(dims))
}

/// Which axis of a target shape that was written for a fixed number of images holds them. Best is
/// one that holds nothing else than before, then one that takes in what lay inside or outside of
/// it; features, which lie innermost, are taken in last.
fn batch_axis(g: &Builder<'_>, x: ValueId, dims: &[Dim], images: usize) -> Option<usize> {
    let own = g.batch_of(x)?;
    let candidates = (0..dims.len()).filter(|&at| {
        let mut tried = dims.to_vec();
        let extent = dims[at].at(1);
        tried[at] = Dim::PerImage(extent / images);
        extent.is_multiple_of(images) && g.can_reshape(x, &tried)
    });
    candidates.min_by_key(|&at| {
        let same = dims[at].at(1) == own.per_image * images;
        let takes_in_features = at + 1 == dims.len() && own.inner > 1;
        match (same, takes_in_features) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        }
    })
}

fn flatten(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let dims = g.graph.shape(x).dims().to_vec();
    let at = node::boundary(node.int("axis", 1)?, dims.len())?;
    let product = |dims: &[Dim]| {
        let count = dims.iter().fold(1usize, |n, d| n.saturating_mul(d.at(1)));
        match is_batched(dims) {
            true => Dim::PerImage(count),
            false => Dim::Fixed(count),
        }
    };
    let shape = Shape::new([product(&dims[..at]), product(&dims[at..])]);
    one(g.reshape(x, shape)?)
}

fn flatten_constant(_: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let at = node::boundary(node.int("axis", 1)?, x.shape.len())?;
    let count = |dims: &[usize]| dims.iter().product::<usize>();
    one_constant(x.reshaped(vec![count(&x.shape[..at]), count(&x.shape[at..])])?)
}

fn squeeze(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let dims = g.graph.shape(x).dims().to_vec();
    let drop = match node.ints_or_input(g, "axes", 1)? {
        Some(given) => node::axes(&given, dims.len())?,
        None => (0..dims.len())
            .filter(|&a| dims[a] == Dim::Fixed(1))
            .collect(),
    };
    let kept = (0..dims.len())
        .filter(|a| !drop.contains(a))
        .map(|a| dims[a]);
    let shape = Shape::new(kept.collect::<Vec<_>>());
    one(g.reshape(x, shape)?)
}

fn squeeze_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let rank = x.shape.len();
    let drop = match node.ints_or_input(g, "axes", 1)? {
        Some(given) => node::axes(&given, rank)?,
        None => (0..rank).filter(|&a| x.shape[a] == 1).collect(),
    };
    let kept = (0..rank).filter(|a| !drop.contains(a));
    one_constant(x.reshaped(kept.map(|a| x.shape[a]).collect())?)
}

fn unsqueeze(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let mut dims = g.graph.shape(x).dims().to_vec();
    let given = node.ints_or_input(g, "axes", 1)?.unwrap_or_default();
    for at in node::axes(&given, dims.len() + given.len())? {
        dims.insert(at.min(dims.len()), Dim::Fixed(1));
    }
    one(g.reshape(x, Shape::new(dims))?)
}

fn unsqueeze_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let given = node.ints_or_input(g, "axes", 1)?.unwrap_or_default();
    let mut shape = x.shape.clone();
    for axis in node::axes(&given, x.shape.len() + given.len())? {
        shape.insert(axis.min(shape.len()), 1);
    }
    one_constant(x.reshaped(shape)?)
}

fn expand(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let target = node
        .constant(g, 1)?
        .ok_or_else(|| Error::corrupt("it has no shape"))?;
    let own = g.graph.shape(x).clone();
    let mut target = shape_from(&target)?.dims().to_vec();
    // The number of images that the file was written for stands for the batch axis.
    let both = target.iter_mut().rev().zip(own.dims().iter().rev());
    for (dim, own) in both {
        if own.fixed().is_none() && *dim == Dim::Fixed(g.fixed_batch.unwrap_or(1)) {
            *dim = *own;
        }
    }
    let target = Shape::new(target);
    let shape = own.broadcast(&target);
    let shape = shape.ok_or_else(|| {
        Error::unsupported(format!(
            "{own} and {target} cannot be broadcast to one shape"
        ))
    })?;
    match shape == own {
        true => one(x),
        false => one(g.expand(x, shape)?),
    }
}

fn expand_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let Some(target) = node.constant(g, 1)? else {
        return Ok(None);
    };
    let shape = Shape::fixed(&x.shape).broadcast(&shape_from(&target)?);
    let shape = shape.ok_or_else(|| Error::corrupt("the shapes do not fit"))?;
    match shape.as_fixed() {
        Some(shape) => {
            g.spend::<[Number; 2]>(elements(&shape)?)?;
            one_constant(x.broadcast(&shape))
        }
        None => Ok(None),
    }
}
