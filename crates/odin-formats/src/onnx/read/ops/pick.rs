//! Operators that select entries along axes: Split, Slice, Gather, GatherND, ScatterND; and
//! weighted sums of entries.

use crate::Error;
use crate::onnx::read::builder::{Builder, Built, Value, invalid};
use crate::onnx::read::const_value::{ConstValue, elements, row_major};
use crate::onnx::read::node::{Node, axis, sizes};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{
    Evaluated, Moved, Operator, Read, constants_only, one, one_constant, operator,
};
use odin_graph::op::{Concat, Slice, SliceAxis};
use odin_graph::{Dim, Op, Shape, Tensor, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Gather", gather).of_first(gather_constant),
    operator("GatherND", gather_nd).of_first(gather_nd_constant),
    constants_only("ScatterND", scatter),
    operator("Slice", slice).of_first(slice_constant),
    operator("Split", split).of_first(split_constant),
];

/// The extents of the parts of a `Split`.
fn split_sizes(g: &mut Builder<'_>, node: &Node<'_>, extent: usize) -> Result<Vec<usize>, Error> {
    let given = node.ints_or_input(g, "split", 1)?;
    let parts = match given {
        Some(given) => sizes(&given, "split")?,
        None => {
            let count = node.proto.output.len().max(1);
            let count = sizes(&[node.int("num_outputs", count as i64)?], "num_outputs")?[0];
            let count = count.clamp(1, extent.max(1));
            g.spend::<SliceAxis>(count)?;
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

fn split(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let along = axis(node.int("axis", 0)?, g.rank(x))?;
    let extent = fixed_extent(g, x, along)?;
    let mut start = 0;
    let mut values = Vec::new();
    for part in split_sizes(g, node, extent)? {
        let end = start + part;
        values.push(Value::Node(cut(g, x, along, start, end, 1)?));
        start = end;
    }
    Ok(values)
}

fn split_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let along = axis(node.int("axis", 0)?, x.shape.len())?;
    let mut start = 0;
    let mut parts = Vec::new();
    for size in split_sizes(g, node, x.shape[along])? {
        let list: Vec<usize> = (start..start + size).collect();
        parts.push(x.take(along, &list));
        start += size;
    }
    Ok(Some(parts))
}

pub(super) fn fixed_extent(g: &Builder<'_>, x: ValueId, axis: usize) -> Result<usize, Error> {
    let shape = g.graph.shape(x);
    shape.dims()[axis].fixed().ok_or_else(|| {
        Error::unsupported(format!(
            "working along axis {axis} of {shape} would mix the images of a batch"
        ))
    })
}

fn cut(
    g: &mut Builder<'_>,
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
    g.op(Op::Slice(Slice { axes }), &[x])
}

/// Positions that may be counted from the end.
pub(super) fn indices(ints: &[i64], extent: usize) -> Result<Vec<usize>, Error> {
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
fn slice_lists(
    g: &mut Builder<'_>,
    node: &Node<'_>,
    shape: &Shape,
) -> Result<Vec<(usize, Vec<usize>)>, Error> {
    let missing = || Error::corrupt("it has no starts and ends");
    let starts = node.ints_or_input(g, "starts", 1)?.ok_or_else(missing)?;
    let ends = match node.ints("ends")? {
        Some(ends) => ends,
        // An end may be the size of the batch: the axis then stays whole.
        None => {
            let ends = node.constant(g, 2)?;
            ends_of(&*ends.ok_or_else(missing)?)
        }
    };
    let axes = node.ints_or_input(g, "axes", 3)?;
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = node
        .constant_ints(g, 4)?
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
                    "slicing axis {axis} of {shape} would select some images of the batch"
                )));
            }
        };
        g.spend::<usize>(extent)?;
        let list = entries(start, end, step, extent)?;
        if !list.iter().copied().eq(0..extent) {
            cuts.push((axis, list));
        }
    }
    Ok(cuts)
}

fn ends_of(ends: &ConstValue) -> Vec<i64> {
    let end = |n: &Number| {
        if n.per_image {
            i64::MAX
        } else {
            n.value as i64
        }
    };
    ends.data.iter().map(end).collect()
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

fn slice(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(g, 0)?;
    let shape = g.graph.shape(x).clone();
    for (axis, list) in slice_lists(g, node, &shape)? {
        x = pick(g, x, axis, &list)?;
    }
    one(x)
}

fn slice_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let mut result = x.clone();
    for (axis, list) in slice_lists(g, node, &Shape::fixed(&x.shape))? {
        result = result.take(axis, &list);
    }
    one_constant(result)
}

fn gather(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let positions = node.constant(g, 1)?;
    let positions = positions.ok_or_else(|| Error::corrupt("it has no indices"))?;
    if positions.data.iter().any(|n| n.slope != 0.0) {
        return one(gather_in_images(g, x, &positions)?);
    }
    let along = axis(node.int("axis", 0)?, g.rank(x))?;
    let extent = fixed_extent(g, x, along)?;
    let picked = pick(g, x, along, &indices(&positions.ints()?, extent)?)?;
    let own = g.graph.shape(x).dims();
    let mut dims = own[..along].to_vec();
    dims.extend(positions.shape.iter().map(|&d| Dim::Fixed(d)));
    dims.extend(&own[along + 1..]);
    one(g.reshape(picked, Shape::new(dims))?)
}

fn gather_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let Some(positions) = node.constant(g, 1)? else {
        return Ok(None);
    };
    let along = axis(node.int("axis", 0)?, x.shape.len())?;
    let others = x.data.len() / x.shape[along].max(1);
    g.spend::<Number>(others.saturating_mul(positions.data.len()))?;
    let list = indices(&positions.ints()?, x.shape[along])?;
    let mut shape = x.shape[..along].to_vec();
    shape.extend(&positions.shape);
    shape.extend(&x.shape[along + 1..]);
    one_constant(x.take(along, &list).reshaped(shape)?)
}

/// The first operand with the entries at the indices replaced, each a whole block of the axes not
/// indexed.
fn scatter(_: &mut Builder<'_>, node: &Node<'_>, operands: &[ConstValue]) -> Evaluated {
    let [x, indices, updates] = operands else {
        return Ok(None);
    };
    if node.text("reduction", "none")? != "none" {
        return Ok(None);
    }
    let misfit = || Error::corrupt("indices and updates do not fit");
    let depth = indices.shape.last().copied().unwrap_or(0);
    let (own, rest) = x.shape.split_at_checked(depth).ok_or_else(misfit)?;
    let block: usize = rest.iter().product();
    let strides = row_major(own);
    let positions = indices.ints()?;
    let count = positions.len().checked_div(depth).ok_or_else(misfit)?;
    if updates.data.len() != count * block {
        return Err(misfit());
    }
    let mut result = x.clone();
    let blocks = updates.data.chunks_exact(block.max(1));
    for (position, update) in positions.chunks_exact(depth).zip(blocks) {
        let mut offset = 0;
        for ((&at, &extent), stride) in position.iter().zip(own).zip(&strides) {
            offset += axis(at, extent).map_err(|_| misfit())? * stride;
        }
        result.data[offset * block..][..block].copy_from_slice(update);
    }
    Ok(Some(result))
}

/// Entries of a batch laid out flat, where the same entries of every image are picked.
fn gather_in_images(g: &mut Builder<'_>, x: ValueId, positions: &ConstValue) -> Built {
    let refused = || Error::unsupported("the entries that it picks differ from image to image");
    let &[Dim::PerImage(extent)] = g.graph.shape(x).dims() else {
        return Err(refused());
    };
    let alike = positions.data.iter().all(|n| n.slope == extent as f64);
    let Some((1, rest)) = positions.shape.split_first().filter(|_| alike) else {
        return Err(refused());
    };
    let picks: Vec<i64> = positions.data.iter().map(|n| n.value as i64).collect();
    let rows = g.reshape(x, Shape::batched(&[extent]))?;
    let picked = pick(g, rows, 1, &indices(&picks, extent)?)?;
    g.reshape(picked, Shape::batched(rest))
}

/// Blocks picked at coordinates along the axes after `batch_dims`: along fixed axes, or in every
/// image along the same.
fn gather_nd(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let batch = sizes(&[node.int("batch_dims", 0)?], "batch_dims")?[0];
    let (places, of_every_image) = match of_every_image(g, node)? {
        Some(places) if batch == 1 => (places, true),
        Some(_) => return Err(differs()),
        None => {
            let places = node.constant(g, 1)?;
            let places = places.ok_or_else(|| Error::corrupt("it has no indices"))?;
            (places.as_ref().clone(), false)
        }
    };
    let dims = g.graph.shape(x).dims().to_vec();
    // The axes along which blocks are picked, and in how many parts each of them is.
    let lead = usize::from(of_every_image);
    let batch = if of_every_image { 0 } else { batch };
    let blocks = match dims.split_at_checked(lead) {
        Some(([Dim::PerImage(1)] | [], rest)) => Blocks::of(&places, rest, batch)?,
        _ => return Err(differs()),
    };
    let mut merged = dims[..lead].to_vec();
    merged.push(Dim::Fixed(blocks.count));
    merged.extend(&dims[lead + blocks.axes..]);
    let merged = g.reshape(x, Shape::new(merged))?;
    let picked = pick(g, merged, lead, &blocks.list)?;
    let mut result = dims[..lead].to_vec();
    result.extend(blocks.outer.iter().map(|&d| Dim::Fixed(d)));
    result.extend(&dims[lead + blocks.axes..]);
    one(g.reshape(picked, Shape::new(result))?)
}

fn gather_nd_constant(g: &mut Builder<'_>, node: &Node<'_>, x: &ConstValue) -> Moved {
    let Some(places) = node.constant(g, 1)? else {
        return Ok(None);
    };
    let batch = sizes(&[node.int("batch_dims", 0)?], "batch_dims")?[0];
    let blocks = Blocks::of(&places, Shape::fixed(&x.shape).dims(), batch)?;
    let rest = &x.shape[blocks.axes..];
    let block: usize = rest.iter().product();
    g.spend::<Number>(blocks.list.len().saturating_mul(block))?;
    let merged = x.reshaped([&[blocks.count], rest].concat())?;
    let shape = [&blocks.outer[..], rest].concat();
    one_constant(merged.take(0, &blocks.list).reshaped(shape)?)
}

fn differs() -> Error {
    Error::unsupported("the entries that it picks differ from image to image")
}

/// Indices that are repeated for every image.
fn of_every_image(g: &mut Builder<'_>, node: &Node<'_>) -> Result<Option<ConstValue>, Error> {
    let Value::Node(id) = *node.input(1)? else {
        return Ok(None);
    };
    let repeated = g.graph.node(id);
    let (Op::Expand(shape), &[once]) = (&repeated.op, &repeated.operands[..]) else {
        return Ok(None);
    };
    let Some((Dim::PerImage(1), rest)) = shape.dims().split_first() else {
        return Ok(None);
    };
    let rest: Option<Vec<usize>> = rest.iter().map(|dim| dim.fixed()).collect();
    let Some((rest, once)) = rest.zip(g.const_of(&Value::Node(once))) else {
        return Ok(None);
    };
    g.spend::<[Number; 2]>(elements(&rest)?)?;
    let of_one = match once.shape.len() > rest.len() {
        true => once.reshaped(once.shape[1..].to_vec())?,
        false => once.as_ref().clone(),
    };
    Ok(Some(of_one.broadcast(&rest)))
}

/// Blocks of an array, by coordinates along its first axes.
struct Blocks {
    /// How many axes that are.
    axes: usize,
    /// How many blocks there are.
    count: usize,
    /// Those that are picked, in row-major order.
    list: Vec<usize>,
    /// The extents of that list.
    outer: Vec<usize>,
}

impl Blocks {
    /// Along the first `batch` axes, picks are the same in number and made in each part apart.
    fn of(places: &ConstValue, dims: &[Dim], batch: usize) -> Result<Self, Error> {
        let misfit = || Error::corrupt("its indices do not fit its operand");
        let (&depth, outer) = places.shape.split_last().ok_or_else(misfit)?;
        let axes = batch.checked_add(depth).ok_or_else(misfit)?;
        let own = dims.get(..axes).ok_or_else(misfit)?;
        let own: Option<Vec<usize>> = own.iter().map(|dim| dim.fixed()).collect();
        let own = own.ok_or_else(differs)?;
        let (apart, along) = own.split_at(batch);
        if outer.get(..batch) != Some(apart) {
            return Err(misfit());
        }
        let parts: usize = apart.iter().product();
        let each: usize = along.iter().product();
        let rows: usize = outer.iter().product();
        let coordinates = places.ints()?;
        let strides = row_major(along);
        let place = |row: usize| -> Result<usize, Error> {
            let at = &coordinates[row * depth..][..depth];
            let along = at.iter().zip(along).zip(&strides);
            let steps = along.map(|((&at, &extent), stride)| {
                let at = axis(at, extent).map_err(|_| {
                    Error::corrupt(format!(
                        "an index lies outside of an axis of {extent} entries"
                    ))
                });
                Ok::<_, Error>(at? * stride)
            });
            let within: usize = steps.sum::<Result<_, _>>()?;
            Ok(row * parts / rows * each + within)
        };
        Ok(Self {
            axes,
            count: parts * each,
            list: (0..rows).map(place).collect::<Result<_, _>>()?,
            outer: outer.to_vec(),
        })
    }
}

/// More pieces than this are picked by a product with a matrix of 0 and 1.
const MAX_PIECES: usize = 64;

/// The entries of an axis at these positions.
pub(super) fn pick(g: &mut Builder<'_>, x: ValueId, axis: usize, list: &[usize]) -> Built {
    if list.is_empty() {
        return Err(Error::unsupported("nothing is left of an axis"));
    }
    if let Some(tensor) = g.graph.constant_value(x).cloned() {
        return pick_constant(g, &tensor, axis, list);
    }
    let runs = runs(list);
    if let [run] = runs[..] {
        return run.cut(g, x, axis);
    }
    if runs.len() > MAX_PIECES {
        let extent = fixed_extent(g, x, axis)?;
        let weight = |i: usize, from: usize| f64::from(u8::from(list[i] == from));
        return mix(g, x, axis, extent, list.len(), weight);
    }
    let mut parts = Vec::new();
    for run in runs {
        parts.push(run.cut(g, x, axis)?);
    }
    g.op(Op::Concat(Concat { axis }), &parts)
}

fn pick_constant(g: &mut Builder<'_>, x: &Tensor, axis: usize, list: &[usize]) -> Built {
    let inner: usize = x.shape()[axis + 1..].iter().product();
    let outer: usize = x.shape()[..axis].iter().product();
    g.spend::<f32>(outer.saturating_mul(inner).saturating_mul(list.len()))?;
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
    g.graph.constant(tensor).map_err(invalid)
}

/// Positions that lie evenly apart.
#[derive(Debug, Clone, Copy)]
struct Evenly {
    start: usize,
    count: usize,
    step: usize,
}

impl Evenly {
    fn cut(self, g: &mut Builder<'_>, x: ValueId, axis: usize) -> Built {
        let end = self.start + (self.count - 1) * self.step + 1;
        cut(g, x, axis, self.start, end, self.step)
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
    g: &mut Builder<'_>,
    x: ValueId,
    axis: usize,
    from: usize,
    to: usize,
    weight: impl Fn(usize, usize) -> f64,
) -> Built {
    g.spend::<f32>(from.saturating_mul(to))?;
    let rank = g.rank(x);
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
    let matrix = g.graph.constant(matrix).map_err(invalid)?;
    if last {
        return g.op(Op::MatMul, &[x, matrix]);
    }
    if axis + 2 == rank {
        return g.op(Op::MatMul, &[matrix, x]);
    }
    // The axis is transposed to the last place but one, and back.
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis, rank - 2);
    let swapped = g.op(Op::Transpose(perm.clone()), &[x])?;
    let mixed = g.op(Op::MatMul, &[matrix, swapped])?;
    g.op(Op::Transpose(perm), &[mixed])
}
