//! Operators that move elements.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::build::is_batched;
use crate::onnx::read::host;
use crate::onnx::read::import::{Importer, Value, invalid};
use crate::onnx::read::known::{Kind, Known, Number};
use crate::onnx::read::node::{self, Node, axis, sizes};
use odin_graph::op::{Concat, Pad, PadAxis, Slice, SliceAxis};
use odin_graph::{Dim, Op, Shape, Tensor, ValueId};

type Built = Result<ValueId, Error>;

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

/// The extents of the parts of a `Split`.
pub(in super::super) fn split_sizes(
    im: &Importer<'_>,
    node: &Node<'_>,
    extent: usize,
) -> Result<Vec<usize>, Error> {
    let given = node.ints_or_input(im, "split", 1)?;
    let parts = match given {
        Some(given) => sizes(&given, "split")?,
        None => {
            let count = node.proto.output.len().max(1);
            let count = sizes(&[node.int("num_outputs", count as i64)?], "num_outputs")?[0];
            let count = count.clamp(1, extent.max(1));
            let each = extent.div_ceil(count);
            let part = |i: usize| extent.saturating_sub(i * each).min(each);
            (0..count).map(part).collect()
        }
    };
    match parts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)) == Some(extent) {
        true => Ok(parts),
        false => Err(Error::corrupt(format!(
            "{parts:?} are not parts of {extent}"
        ))),
    }
}

pub(super) fn split(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let along = axis(node.int("axis", 0)?, im.rank(x))?;
    let extent = fixed_extent(im, x, along)?;
    let mut start = 0;
    let mut values = Vec::new();
    for part in split_sizes(im, node, extent)? {
        let end = start + part;
        values.push(Value::Node(cut(im, x, along, start, end, 1)?));
        start = end;
    }
    Ok(values)
}

fn fixed_extent(im: &Importer<'_>, x: ValueId, axis: usize) -> Result<usize, Error> {
    let shape = im.graph.shape(x);
    shape.dims()[axis].fixed().ok_or_else(|| {
        Error::unsupported(format!(
            "working along axis {axis} of {shape} would mix the images of a batch"
        ))
    })
}

fn cut(
    im: &mut Importer<'_>,
    x: ValueId,
    axis: usize,
    start: usize,
    end: usize,
    step: usize,
) -> Built {
    let axes = vec![SliceAxis {
        axis,
        start,
        end,
        step,
    }];
    im.op(Op::Slice(Slice { axes }), &[x])
}

/// Positions that may be counted from the end.
pub(in super::super) fn indices(ints: &[i64], extent: usize) -> Result<Vec<usize>, Error> {
    ints.iter()
        .map(|&i| axis(i, extent))
        .collect::<Result<_, _>>()
        .map_err(|_| {
            Error::corrupt(format!(
                "an index lies outside of an axis of {extent} entries"
            ))
        })
}

/// For each axis that a `Slice` cuts, the entries that stay.
pub(in super::super) fn slice_lists(
    im: &mut Importer<'_>,
    node: &Node<'_>,
    shape: &Shape,
) -> Result<Vec<(usize, Vec<usize>)>, Error> {
    let missing = || Error::corrupt("it has no starts and ends");
    let starts = node.ints_or_input(im, "starts", 1)?.ok_or_else(missing)?;
    let ends = match node.ints("ends")? {
        Some(ends) => ends,
        // An end may be the size of the batch: the axis then stays whole.
        None => ends_of(&node.known(im, 2)?.ok_or_else(missing)?),
    };
    let axes = node.ints_or_input(im, "axes", 3)?;
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = node
        .known_ints(im, 4)?
        .unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Error::corrupt(
            "starts, ends, axes and steps differ in length",
        ));
    }
    let mut cuts = Vec::new();
    for (i, &given) in axes.iter().enumerate() {
        let axis = axis(given, shape.rank())?;
        let (start, end, step) = (starts[i], ends[i], steps[i]);
        let extent = match shape.dims()[axis] {
            Dim::Fixed(extent) => extent,
            Dim::PerImage(k) if start == 0 && step == 1 && end >= k as i64 => continue,
            Dim::PerImage(_) => {
                return Err(Error::unsupported(format!(
                    "cutting axis {axis} of {shape} would tell the images of a batch apart"
                )));
            }
        };
        im.spend(extent)?;
        let list = entries(start, end, step, extent)?;
        if !list.iter().copied().eq(0..extent) {
            cuts.push((axis, list));
        }
    }
    Ok(cuts)
}

fn ends_of(known: &Known) -> Vec<i64> {
    let end = |n: &Number| {
        if n.per_image {
            i64::MAX
        } else {
            n.value as i64
        }
    };
    known.data.iter().map(end).collect()
}

fn entries(start: i64, end: i64, step: i64, extent: usize) -> Result<Vec<usize>, Error> {
    let n = extent as i64;
    let from_end = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let (start, end) = (from_end(start), from_end(end));
    let list: Vec<usize> = match step {
        0 => return Err(Error::corrupt("a step cannot be 0")),
        1.. => {
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            let range = start.clamp(0, n)..end.clamp(0, n);
            range.step_by(step).map(|i| i as usize).collect()
        }
        _ => {
            let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
            let (start, end) = (start.clamp(-1, n - 1), end.clamp(-1, n - 1));
            let range = (end + 1..=start).rev();
            range.step_by(step).map(|i| i as usize).collect()
        }
    };
    Ok(list)
}

pub(super) fn slice(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(im, 0)?;
    let shape = im.graph.shape(x).clone();
    for (axis, list) in slice_lists(im, node, &shape)? {
        x = pick(im, x, axis, &list)?;
    }
    one(x)
}

pub(super) fn gather(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let indices_of = node.known(im, 1)?;
    if let Some(known) = indices_of.filter(|k| k.data.iter().any(|n| n.slope != 0.0)) {
        return one(gather_in_images(im, x, &known)?);
    }
    let along = axis(node.int("axis", 0)?, im.rank(x))?;
    let extent = fixed_extent(im, x, along)?;
    let known = node
        .known(im, 1)?
        .ok_or_else(|| Error::corrupt("it has no indices"))?;
    let picked = pick(im, x, along, &indices(&known.ints()?, extent)?)?;
    let own = im.graph.shape(x).dims();
    let mut dims = own[..along].to_vec();
    dims.extend(known.shape.iter().map(|&d| Dim::Fixed(d)));
    dims.extend(&own[along + 1..]);
    one(im
        .graph
        .reshape(picked, Shape::new(dims))
        .map_err(invalid)?)
}

/// Entries of a batch laid out flat, where the same entries of every image are picked.
fn gather_in_images(im: &mut Importer<'_>, x: ValueId, known: &Known) -> Built {
    let refused = || Error::unsupported("the entries that it picks differ from image to image");
    let &[Dim::PerImage(extent)] = im.graph.shape(x).dims() else {
        return Err(refused());
    };
    let alike = known.data.iter().all(|n| n.slope == extent as f64);
    let Some((1, rest)) = known.shape.split_first().filter(|_| alike) else {
        return Err(refused());
    };
    let picks: Vec<i64> = known.data.iter().map(|n| n.value as i64).collect();
    let rows = im.reshape(x, Shape::batched(&[extent]))?;
    let picked = pick(im, rows, 1, &indices(&picks, extent)?)?;
    im.reshape(picked, Shape::batched(rest))
}

/// Whole blocks picked along the first axis.
pub(super) fn gather_nd(im: &mut Importer<'_>, node: &Node<'_>) -> Read {
    let x = node.value(im, 0)?;
    let known = node
        .known(im, 1)?
        .ok_or_else(|| Error::corrupt("it has no indices"))?;
    let Some((1, outer)) = known.shape.split_last().filter(|_| im.rank(x) > 0) else {
        return Err(Error::unsupported("indices of more than one axis"));
    };
    if node.int("batch_dims", 0)? != 0 {
        return Err(Error::unsupported("batch_dims"));
    }
    let extent = fixed_extent(im, x, 0)?;
    let picked = pick(im, x, 0, &indices(&known.ints()?, extent)?)?;
    let mut dims: Vec<Dim> = outer.iter().map(|&d| Dim::Fixed(d)).collect();
    dims.extend(&im.graph.shape(x).dims()[1..]);
    one(im.reshape(picked, Shape::new(dims))?)
}

/// More pieces than this are picked by a product with a matrix of 0 and 1.
const MAX_PIECES: usize = 64;

/// The entries of an axis at these positions.
pub(super) fn pick(im: &mut Importer<'_>, x: ValueId, axis: usize, list: &[usize]) -> Built {
    if list.is_empty() {
        return Err(Error::unsupported("nothing is left of an axis"));
    }
    if let Some(tensor) = im.graph.constant_value(x).cloned() {
        return pick_constant(im, &tensor, axis, list);
    }
    let runs = runs(list);
    if let [run] = runs[..] {
        return run.cut(im, x, axis);
    }
    if runs.len() > MAX_PIECES {
        let extent = fixed_extent(im, x, axis)?;
        let weight = |i: usize, from: usize| f64::from(u8::from(list[i] == from));
        return mix(im, x, axis, extent, list.len(), weight);
    }
    let mut parts = Vec::new();
    for run in runs {
        parts.push(run.cut(im, x, axis)?);
    }
    im.op(Op::Concat(Concat { axis }), &parts)
}

fn pick_constant(im: &mut Importer<'_>, x: &Tensor, axis: usize, list: &[usize]) -> Built {
    let inner: usize = x.shape()[axis + 1..].iter().product();
    let outer: usize = x.shape()[..axis].iter().product();
    im.spend(outer.saturating_mul(inner).saturating_mul(list.len()))?;
    let block = x.shape()[axis] * inner;
    let data: Vec<f32> = (0..outer)
        .flat_map(|o| {
            list.iter()
                .flat_map(move |&i| &x.data()[o * block + i * inner..][..inner])
        })
        .copied()
        .collect();
    let mut shape = x.shape().to_vec();
    shape[axis] = list.len();
    let tensor = Tensor::new(shape, data).map_err(invalid)?;
    im.graph.constant(tensor).map_err(invalid)
}

/// Positions that lie evenly apart.
#[derive(Debug, Clone, Copy)]
struct Evenly {
    start: usize,
    count: usize,
    step: usize,
}

impl Evenly {
    fn cut(self, im: &mut Importer<'_>, x: ValueId, axis: usize) -> Built {
        let end = self.start + (self.count - 1) * self.step + 1;
        cut(im, x, axis, self.start, end, self.step)
    }
}

fn runs(list: &[usize]) -> Vec<Evenly> {
    let mut runs: Vec<Evenly> = Vec::new();
    for &at in list {
        match runs.last_mut() {
            Some(run) if run.count == 1 && at > run.start => {
                run.step = at - run.start;
                run.count = 2;
            }
            Some(run) if run.count > 1 && at == run.start + run.count * run.step => run.count += 1,
            _ => runs.push(Evenly {
                start: at,
                count: 1,
                step: 1,
            }),
        }
    }
    runs
}

/// Along an axis of `from` entries, `to` weighted sums of them.
pub(super) fn mix(
    im: &mut Importer<'_>,
    x: ValueId,
    axis: usize,
    from: usize,
    to: usize,
    weight: impl Fn(usize, usize) -> f64,
) -> Built {
    im.spend(from.saturating_mul(to))?;
    let rank = im.rank(x);
    let mut matrix = Vec::with_capacity(from * to);
    let last = axis + 1 == rank;
    for row in 0..if last { from } else { to } {
        let columns = 0..if last { to } else { from };
        let entry = |column| {
            if last {
                weight(column, row)
            } else {
                weight(row, column)
            }
        };
        matrix.extend(columns.map(|column| entry(column) as f32));
    }
    let shape = if last { vec![from, to] } else { vec![to, from] };
    let matrix = Tensor::new(shape, matrix).map_err(invalid)?;
    let matrix = im.graph.constant(matrix).map_err(invalid)?;
    if last {
        return im.op(Op::MatMul, &[x, matrix]);
    }
    if axis + 2 == rank {
        return im.op(Op::MatMul, &[matrix, x]);
    }
    // The axis next to the last trades places with this one, and back.
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis, rank - 2);
    let swapped = im.op(Op::Transpose(perm.clone()), &[x])?;
    let mixed = im.op(Op::MatMul, &[matrix, swapped])?;
    im.op(Op::Transpose(perm), &[mixed])
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
    one(im
        .graph
        .reshape(moved, with_batch(joined))
        .map_err(invalid)?)
}
