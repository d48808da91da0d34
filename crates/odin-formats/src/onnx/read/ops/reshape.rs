//! The same elements under another shape.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::build::is_batched;
use crate::onnx::read::host;
use crate::onnx::read::import::Importer;
use crate::onnx::read::known::{Kind, Known, Number};
use crate::onnx::read::node::{self, Node};
use odin_graph::{Dim, Shape, ValueId};

/// Extents given as numbers.
pub(in super::super) fn shape_from(known: &Known) -> Result<Shape, Error> {
    host::dims(known).map(Shape::new)
}

/// A target shape with 0 for "as before" and -1 for "the rest", filled in.
pub(in super::super) fn fixed_shape(own: &[usize], target: &[i64]) -> Result<Vec<usize>, Error> {
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
    let total: usize = own.iter().product();
    if let Some(rest) = rest {
        let others = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let others = others.filter(|&n| n > 0 && total.is_multiple_of(n));
        shape[rest] = total / others.ok_or_else(misfit)?;
    }
    Ok(shape)
}

pub(super) fn reshape(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let target = match node.ints("shape")? {
        Some(shape) => {
            let numbers = shape.iter().map(|&v| Number::fixed(v as f64));
            Some(Known::vector(Kind::Int, numbers.collect()))
        }
        None => node.known(im, 1)?,
    };
    let target = target.ok_or_else(|| Error::corrupt("it has no target shape"))?;
    let keep_zero = node.int("allowzero", 0)? != 0;
    let shape = target_shape(im, x, &target, keep_zero)?;
    one(im.reshape(x, shape)?)
}

/// The target shape. Where its numbers were written for a fixed number of images, the batch axis
/// is found as the one that has as many elements before it as before.
fn target_shape(
    im: &Importer<'_>,
    x: ValueId,
    target: &Known,
    keep_zero: bool,
) -> Result<Shape, Error> {
    let own = im.graph.shape(x).dims();
    let count = own.iter().fold(1usize, |n, d| n.saturating_mul(d.at(1)));
    let misfit = || {
        let target: Vec<f64> = target.data.iter().map(|n| n.value).collect();
        Error::unsupported(format!(
            "{} cannot be read as {target:?}",
            im.graph.shape(x)
        ))
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
    if let Some(rest) = rest.filter(|_| explicit || im.fixed_batch.is_none()) {
        let extent = fill(count).ok_or_else(misfit)?;
        dims[rest] = match is_batched(own) && !explicit {
            true => Dim::PerImage(extent),
            false => Dim::Fixed(extent),
        };
    }
    if !is_batched(own) || explicit || (is_batched(&dims) && im.can_reshape(x, &dims)) {
        return Ok(Shape::new(dims));
    }
    // Written for a fixed number of images.
    let images = im.fixed_batch.unwrap_or(1);
    if let Some(rest) = rest {
        dims[rest] = Dim::Fixed(1);
        let total = count.checked_mul(images).ok_or_else(misfit)?;
        dims[rest] = Dim::Fixed(fill(total).ok_or_else(misfit)?);
    }
    let at = batch_axis(im, x, &dims, images).ok_or_else(misfit)?;
    dims[at] = Dim::PerImage(dims[at].at(1) / images);
    Ok(Shape::new(dims))
}

/// Which axis of a target shape that was written for a fixed number of images holds them. Best is
/// one that holds nothing else than before, then one that takes in what lay inside or outside of
/// it; features, which lie innermost, are taken in last.
fn batch_axis(im: &Importer<'_>, x: ValueId, dims: &[Dim], images: usize) -> Option<usize> {
    let own = im.batch_of(x)?;
    let candidates = (0..dims.len()).filter(|&at| {
        let mut tried = dims.to_vec();
        let extent = dims[at].at(1);
        tried[at] = Dim::PerImage(extent / images);
        extent.is_multiple_of(images) && im.can_reshape(x, &tried)
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

pub(super) fn flatten(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let dims = im.graph.shape(x).dims().to_vec();
    let at = node::boundary(node.int("axis", 1)?, dims.len())?;
    let product = |dims: &[Dim]| {
        let count = dims.iter().fold(1usize, |n, d| n.saturating_mul(d.at(1)));
        match is_batched(dims) {
            true => Dim::PerImage(count),
            false => Dim::Fixed(count),
        }
    };
    let shape = Shape::new([product(&dims[..at]), product(&dims[at..])]);
    one(im.reshape(x, shape)?)
}

pub(super) fn squeeze(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let dims = im.graph.shape(x).dims().to_vec();
    let drop = match node.ints_or_input(im, "axes", 1)? {
        Some(given) => node::axes(&given, dims.len())?,
        None => (0..dims.len())
            .filter(|&a| dims[a] == Dim::Fixed(1))
            .collect(),
    };
    let kept = (0..dims.len())
        .filter(|a| !drop.contains(a))
        .map(|a| dims[a]);
    let shape = Shape::new(kept.collect::<Vec<_>>());
    one(im.reshape(x, shape)?)
}

pub(super) fn unsqueeze(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let mut dims = im.graph.shape(x).dims().to_vec();
    let given = node.ints_or_input(im, "axes", 1)?.unwrap_or_default();
    for at in node::axes(&given, dims.len() + given.len())? {
        dims.insert(at.min(dims.len()), Dim::Fixed(1));
    }
    one(im.reshape(x, Shape::new(dims))?)
}

pub(super) fn expand(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let target = node
        .known(im, 1)?
        .ok_or_else(|| Error::corrupt("it has no shape"))?;
    let own = im.graph.shape(x).clone();
    let mut target = shape_from(&target)?.dims().to_vec();
    // The number of images that the file was written for stands for the batch axis.
    let both = target.iter_mut().rev().zip(own.dims().iter().rev());
    for (dim, own) in both {
        if own.fixed().is_none() && *dim == Dim::Fixed(im.fixed_batch.unwrap_or(1)) {
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
        false => one(im.expand(x, shape)?),
    }
}
