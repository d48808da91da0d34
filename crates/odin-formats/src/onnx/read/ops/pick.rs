//! Entries of an axis: parts, single ones, and weighted sums of them.

use super::{Read, one};
use crate::Error;
use crate::onnx::read::import::{Importer, Value, invalid};
use crate::onnx::read::known::{Known, Number};
use crate::onnx::read::node::{Node, axis, sizes};
use odin_graph::op::{Concat, Slice, SliceAxis};
use odin_graph::{Dim, Op, Shape, Tensor, ValueId};

type Built = Result<ValueId, Error>;

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

pub(super) fn fixed_extent(im: &Importer<'_>, x: ValueId, axis: usize) -> Result<usize, Error> {
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
    let known = node.known(im, 1)?;
    let known = known.ok_or_else(|| Error::corrupt("it has no indices"))?;
    if known.data.iter().any(|n| n.slope != 0.0) {
        return one(gather_in_images(im, x, &known)?);
    }
    let along = axis(node.int("axis", 0)?, im.rank(x))?;
    let extent = fixed_extent(im, x, along)?;
    let picked = pick(im, x, along, &indices(&known.ints()?, extent)?)?;
    let own = im.graph.shape(x).dims();
    let mut dims = own[..along].to_vec();
    dims.extend(known.shape.iter().map(|&d| Dim::Fixed(d)));
    dims.extend(&own[along + 1..]);
    one(im.reshape(picked, Shape::new(dims))?)
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
