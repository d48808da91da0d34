//! Operators on numbers that are known when a file is read: the arithmetic of shapes.

use super::import::{Importer, Value};
use super::known::{self, Kind, Known, Number};
use super::node::{self, Node, axis};
use super::tensor;
use crate::Error;
use crate::onnx::proto::data_type;
use odin_graph::{Dim, Shape, Tensor};

/// What a node gives, if its operands are known; `None` when it is to become part of the graph.
pub(super) fn evaluate(
    importer: &mut Importer<'_>,
    node: &Node<'_>,
) -> Result<Option<Vec<Value>>, Error> {
    let values = evaluate_freely(importer, node)?;
    let known = values.iter().flatten().filter_map(|value| match value {
        Value::Known(known) => Some(known.data.len()),
        Value::Node(_) => None,
    });
    importer.spend(known.sum())?;
    Ok(values)
}

/// The same, before what it made is counted.
fn evaluate_freely(
    importer: &mut Importer<'_>,
    node: &Node<'_>,
) -> Result<Option<Vec<Value>>, Error> {
    let result = match node.op() {
        "Shape" => shape(importer, node)?,
        "Size" => size(importer, node)?,
        "ConstantOfShape" => return constant_of_shape(importer, node).map(|v| Some(vec![v])),
        "Range" => range(importer, node)?,
        op if on_first(op) => match node.optional(0) {
            Some(Value::Known(x)) => match moved(importer, node, x)? {
                Some(parts) => return Ok(Some(parts.into_iter().map(Value::Known).collect())),
                None => return Ok(None),
            },
            _ => return Ok(None),
        },
        _ => {
            let any =
                super::ops::is_known_only(node.op()) || node.inputs.iter().flatten().any(is_known);
            let all = || -> Option<Vec<Known>> {
                let inputs = node.inputs.iter().flatten();
                inputs.map(|v| importer.known_of(v)).collect()
            };
            match any.then(all).flatten() {
                Some(operands) => {
                    importer.spend(operands.iter().map(|x| x.data.len()).sum())?;
                    match computed(importer, node, &operands)? {
                        Some(result) => result,
                        None => return Ok(None),
                    }
                }
                None => return Ok(None),
            }
        }
    };
    Ok(Some(vec![Value::Known(result)]))
}

fn is_known(value: &Value) -> bool {
    matches!(value, Value::Known(_))
}

/// Operators of which only the first operand carries the numbers.
fn on_first(op: &str) -> bool {
    matches!(
        op,
        "Cast"
            | "Expand"
            | "Flatten"
            | "Gather"
            | "Identity"
            | "Reshape"
            | "Slice"
            | "Split"
            | "Squeeze"
            | "Tile"
            | "Transpose"
            | "Unsqueeze"
    )
}

fn shape(importer: &Importer<'_>, node: &Node<'_>) -> Result<Known, Error> {
    let shape = importer.shape_of(node.input(0)?);
    let dims: Vec<Number> = shape.dims().iter().map(|&d| d.into()).collect();
    let clamp =
        |at: i64| (if at < 0 { at + dims.len() as i64 } else { at }).clamp(0, dims.len() as i64);
    let start = clamp(node.int("start", 0)?) as usize;
    let end = clamp(node.int("end", i64::MAX)?) as usize;
    let part = dims.get(start..end).unwrap_or_default().to_vec();
    Ok(Known::vector(Kind::Int, part))
}

fn size(importer: &Importer<'_>, node: &Node<'_>) -> Result<Known, Error> {
    let shape = importer.shape_of(node.input(0)?);
    let value = shape.dims().iter().map(|d| d.at(1) as f64).product();
    let per_image = shape.dims().iter().any(|d| d.fixed().is_none());
    let slope = 0.0;
    let data = vec![Number {
        value,
        per_image,
        slope,
    }];
    let (kind, shape) = (Kind::Int, Vec::new());
    Ok(Known { kind, shape, data })
}

fn constant_of_shape(importer: &mut Importer<'_>, node: &Node<'_>) -> Result<Value, Error> {
    let extents = node.known(importer, 0)?;
    let extents = extents.ok_or_else(|| Error::corrupt("it has no shape"))?;
    let fill = match node.tensor("value")? {
        Some(value) => tensor::known(value, None)?,
        None => Known {
            kind: Kind::Float,
            shape: vec![1],
            data: vec![Number::fixed(0.0)],
        },
    };
    let fill_with = fill.data.first().copied().unwrap_or(Number::fixed(0.0));
    let shape = super::ops::shape_from(&extents)?;
    match shape.as_fixed() {
        Some(shape) => {
            let count = elements(&shape)?;
            importer.spend(count)?;
            let (kind, data) = (fill.kind, vec![fill_with; count]);
            Ok(Value::Known(Known { kind, shape, data }))
        }
        None => {
            let tensor = Tensor::scalar(fill_with.value as f32);
            let scalar = importer
                .graph
                .constant(tensor)
                .map_err(super::import::invalid)?;
            let expanded = importer.expand(scalar, shape);
            Ok(Value::Node(expanded?))
        }
    }
}

fn range(importer: &mut Importer<'_>, node: &Node<'_>) -> Result<Known, Error> {
    if let Some(images) = image_numbers(importer, node)? {
        return Ok(images);
    }
    let mut kind = Kind::Int;
    let mut number = |i: usize| -> Result<f64, Error> {
        let known = node.known(importer, i)?;
        let known = known.filter(|k| k.data.len() == 1 && !k.data[0].per_image);
        let known = known.ok_or_else(|| Error::unsupported("a range needs fixed bounds"))?;
        kind = known.kind;
        Ok(known.data[0].value)
    };
    let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
    let count = ((limit - start) / step).ceil();
    if !count.is_finite() || count > 1e9 {
        return Err(Error::unsupported("a range without end"));
    }
    let count = count.max(0.0) as usize;
    importer.spend(count)?;
    let data = (0..count).map(|i| Number::fixed(start + i as f64 * step));
    Ok(Known::vector(kind, data.collect()))
}

/// `0..N`: one entry, which stands along the batch axis for the number of the image.
fn image_numbers(importer: &Importer<'_>, node: &Node<'_>) -> Result<Option<Known>, Error> {
    let mut bounds = Vec::new();
    for i in 0..3 {
        bounds.extend(
            node.known(importer, i)?
                .and_then(|k| k.data.first().copied()),
        );
    }
    let images = Number::from(Dim::BATCH);
    let all = bounds == [Number::fixed(0.0), images, Number::fixed(1.0)];
    Ok(all.then(|| {
        let number = Number {
            slope: 1.0,
            ..Number::fixed(0.0)
        };
        Known::vector(Kind::Int, vec![number])
    }))
}

fn elements(shape: &[usize]) -> Result<usize, Error> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    count.ok_or_else(|| Error::unsupported(format!("a constant of shape {shape:?} is too large")))
}

/// Operators that move numbers without changing them.
fn moved(
    importer: &mut Importer<'_>,
    node: &Node<'_>,
    x: &Known,
) -> Result<Option<Vec<Known>>, Error> {
    let rank = x.shape.len();
    let one = |known: Known| Ok(Some(vec![known]));
    match node.op() {
        "Identity" => one(x.clone()),
        "Cast" => {
            let to = node.int("to", 0)? as i32;
            one(cast(x, to))
        }
        "Reshape" => {
            let target = node.known_ints(importer, 1)?.unwrap_or_default();
            one(x.reshaped(super::ops::fixed_shape(&x.shape, &target)?)?)
        }
        "Flatten" => {
            let at = node::boundary(node.int("axis", 1)?, rank)?;
            let count = |dims: &[usize]| dims.iter().product::<usize>();
            one(x.reshaped(vec![count(&x.shape[..at]), count(&x.shape[at..])])?)
        }
        "Squeeze" => {
            let given = node.ints_or_input(importer, "axes", 1)?;
            let drop = match given {
                Some(given) => node::axes(&given, rank)?,
                None => (0..rank).filter(|&a| x.shape[a] == 1).collect(),
            };
            let kept = (0..rank).filter(|a| !drop.contains(a));
            one(x.reshaped(kept.map(|a| x.shape[a]).collect())?)
        }
        "Unsqueeze" => {
            let given = node.ints_or_input(importer, "axes", 1)?.unwrap_or_default();
            let mut shape = x.shape.clone();
            for axis in node::axes(&given, rank + given.len())? {
                shape.insert(axis.min(shape.len()), 1);
            }
            one(x.reshaped(shape)?)
        }
        "Gather" => {
            let Some(indices) = node.known(importer, 1)? else {
                return Ok(None);
            };
            let axis = axis(node.int("axis", 0)?, rank)?;
            let others = x.data.len() / x.shape[axis].max(1);
            importer.spend(others.saturating_mul(indices.data.len()))?;
            one(gather(x, &indices, axis)?)
        }
        "Slice" => {
            let cuts = super::ops::slice_lists(importer, node, &Shape::fixed(&x.shape))?;
            let mut result = x.clone();
            for (axis, list) in cuts {
                result = take(&result, axis, &list);
            }
            one(result)
        }
        "Split" => {
            let axis = axis(node.int("axis", 0)?, rank)?;
            let sizes = super::ops::split_sizes(importer, node, x.shape[axis])?;
            let mut start = 0;
            let mut parts = Vec::new();
            for size in sizes {
                let list: Vec<usize> = (start..start + size).collect();
                parts.push(take(x, axis, &list));
                start += size;
            }
            Ok(Some(parts))
        }
        "Transpose" => {
            let perm = super::ops::permutation(node, rank)?;
            let shape: Vec<usize> = perm.iter().map(|&a| x.shape[a]).collect();
            let strides = row_major(&x.shape);
            let strides: Vec<usize> = perm.iter().map(|&a| strides[a]).collect();
            let data = offsets(&shape, &strides).into_iter().map(|i| x.data[i]);
            let (kind, data) = (x.kind, data.collect());
            one(Known { kind, shape, data })
        }
        "Expand" => {
            let Some(target) = node.known(importer, 1)? else {
                return Ok(None);
            };
            let shape = Shape::fixed(&x.shape).broadcast(&super::ops::shape_from(&target)?);
            let shape = shape.ok_or_else(|| Error::corrupt("the shapes do not fit"))?;
            match shape.as_fixed() {
                Some(shape) => {
                    importer.spend(elements(&shape)?)?;
                    one(broadcast(x, &shape))
                }
                None => Ok(None),
            }
        }
        "Tile" => {
            let repeats = node.known_ints(importer, 1)?.unwrap_or_default();
            let repeats = node::sizes(&repeats, "repeats")?;
            let mut result = x.clone();
            for (axis, &count) in repeats.iter().enumerate().take(rank) {
                let extent = result.shape[axis];
                importer.spend(elements(&result.shape)?.saturating_mul(count))?;
                let list: Vec<usize> = (0..extent.saturating_mul(count))
                    .map(|i| i % extent)
                    .collect();
                result = take(&result, axis, &list);
            }
            one(result)
        }
        _ => Ok(None),
    }
}

fn cast(x: &Known, to: i32) -> Known {
    use data_type::*;
    let kind = match to {
        BOOL => Kind::Bool,
        FLOAT | DOUBLE | FLOAT16 | BFLOAT16 => Kind::Float,
        _ => Kind::Int,
    };
    let convert = |n: &Number| Number {
        value: match kind {
            Kind::Bool => f64::from(n.value != 0.0),
            Kind::Int => n.value.trunc(),
            Kind::Float => n.value,
        },
        per_image: n.per_image && kind != Kind::Bool,
        slope: n.slope,
    };
    let (shape, data) = (x.shape.clone(), x.data.iter().map(convert).collect());
    Known { kind, shape, data }
}

fn gather(x: &Known, indices: &Known, axis: usize) -> Result<Known, Error> {
    let list = super::ops::indices(&indices.ints()?, x.shape[axis])?;
    let taken = take(x, axis, &list);
    let mut shape = x.shape[..axis].to_vec();
    shape.extend(&indices.shape);
    shape.extend(&x.shape[axis + 1..]);
    taken.reshaped(shape)
}

/// The entries of an axis at these positions.
fn take(x: &Known, axis: usize, list: &[usize]) -> Known {
    let inner: usize = x.shape[axis + 1..].iter().product();
    let block = x.shape[axis] * inner;
    let outer = x.data.chunks_exact(block.max(1));
    let data = outer
        .flat_map(|chunk| list.iter().flat_map(move |&i| &chunk[i * inner..][..inner]))
        .copied()
        .collect();
    let mut shape = x.shape.clone();
    shape[axis] = list.len();
    let kind = x.kind;
    Known { kind, shape, data }
}

/// `x` with the entries at the indices replaced, each a whole block of the axes not indexed.
fn scatter(x: &Known, indices: &Known, updates: &Known) -> Result<Known, Error> {
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
    Ok(result)
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

fn offsets(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    shape.iter().zip(strides).fold(vec![0], |outer, (&n, &s)| {
        let along = |o: &usize| {
            let o = *o;
            (0..n).map(move |i| o + i * s)
        };
        outer.iter().flat_map(along).collect()
    })
}

fn broadcast(x: &Known, shape: &[usize]) -> Known {
    let lead = shape.len() - x.shape.len();
    let own = x.shape.iter().zip(row_major(&x.shape));
    let strides: Vec<usize> = std::iter::repeat_n(0, lead)
        .chain(own.map(|(&extent, stride)| if extent == 1 { 0 } else { stride }))
        .collect();
    let data = offsets(shape, &strides).into_iter().map(|i| x.data[i]);
    let (kind, shape, data) = (x.kind, shape.to_vec(), data.collect());
    Known { kind, shape, data }
}

/// Operators that compute numbers from numbers.
fn computed(
    importer: &mut Importer<'_>,
    node: &Node<'_>,
    x: &[Known],
) -> Result<Option<Known>, Error> {
    match (node.op(), x) {
        ("Concat", _) => concat(node, x).map(Some),
        ("Where", [c, a, b]) => {
            let shape = joint_shape(importer, &[c, a, b])?;
            let [c, a, b] = [c, a, b].map(|v| broadcast(v, &shape));
            let branches = a.data.iter().zip(&b.data);
            let chosen = c.data.iter().zip(branches);
            let data = chosen.map(|(c, (a, b))| if c.value != 0.0 { *a } else { *b });
            let (kind, data) = (a.kind, data.collect());
            Ok(Some(Known { kind, shape, data }))
        }
        ("ScatterND", [x, indices, updates]) if node.text("reduction", "none")? == "none" => {
            scatter(x, indices, updates).map(Some)
        }
        ("ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin", [x, ..]) => {
            reduce(importer, node, x)
        }
        ("And" | "Or", [a, b]) => elementwise(importer, a, b, Kind::Bool, |a, b| {
            let (a, b) = (a.value != 0.0, b.value != 0.0);
            let holds = if node.op() == "And" { a && b } else { a || b };
            Some(Number::fixed(f64::from(holds)))
        })
        .map(Some),
        ("Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual", [a, b]) => {
            elementwise(importer, a, b, Kind::Bool, |a, b| {
                known::compare(node.op(), a, b).map(|holds| Number::fixed(f64::from(holds)))
            })
            .map(Some)
        }
        ("Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Max" | "Min", [a, b]) => {
            let ints = a.kind == Kind::Int;
            let op = match node.int("fmod", 0)? {
                0 => node.op(),
                _ => "fmod",
            };
            elementwise(importer, a, b, a.kind, |a, b| known::binary(op, a, b, ints)).map(Some)
        }
        (op, [x]) => {
            let apply = |n: &Number| {
                let exact = n.per_image && matches!(op, "Floor" | "Ceil" | "Round");
                let allowed = n.is_fixed() || (exact && n.value.fract() == 0.0);
                let value = allowed.then(|| known::unary(op, n.value)).flatten()?;
                Some(Number { value, ..*n })
            };
            let data: Option<Vec<Number>> = x.data.iter().map(apply).collect();
            let (kind, shape) = (x.kind, x.shape.clone());
            Ok(data.map(|data| Known { kind, shape, data }))
        }
        _ => Ok(None),
    }
}

fn joint_shape(importer: &mut Importer<'_>, operands: &[&Known]) -> Result<Vec<usize>, Error> {
    let joint = operands.iter().try_fold(Shape::default(), |joint, x| {
        joint.broadcast(&Shape::fixed(&x.shape))
    });
    let joint = joint.and_then(|s| s.as_fixed());
    let joint = joint.ok_or_else(|| Error::corrupt("the operands' shapes do not fit"))?;
    importer.spend(elements(&joint)?)?;
    Ok(joint)
}

fn elementwise(
    importer: &mut Importer<'_>,
    a: &Known,
    b: &Known,
    kind: Kind,
    f: impl Fn(Number, Number) -> Option<Number>,
) -> Result<Known, Error> {
    let shape = joint_shape(importer, &[a, b])?;
    let [a, b] = [a, b].map(|v| broadcast(v, &shape));
    let pairs = a.data.iter().zip(&b.data);
    let data: Option<Vec<Number>> = pairs.map(|(a, b)| f(*a, *b)).collect();
    let data = data.ok_or_else(|| {
        Error::unsupported("it computes with the size of the batch in a way that is not followed")
    })?;
    Ok(Known { kind, shape, data })
}

fn concat(node: &Node<'_>, parts: &[Known]) -> Result<Known, Error> {
    let Some(first) = parts.first() else {
        return Err(Error::corrupt("it has no operands"));
    };
    let axis = axis(node.int("axis", 0)?, first.shape.len())?;
    let fits = |part: &Known| {
        part.shape.len() == first.shape.len()
            && (0..part.shape.len()).all(|a| a == axis || part.shape[a] == first.shape[a])
    };
    if !parts.iter().all(fits) {
        return Err(Error::corrupt("the operands' shapes do not fit"));
    }
    let outer: usize = first.shape[..axis].iter().product();
    let piece = |part: &Known| part.shape[axis..].iter().product::<usize>();
    let data = (0..outer)
        .flat_map(|i| {
            parts
                .iter()
                .flat_map(move |p| &p.data[i * piece(p)..][..piece(p)])
        })
        .copied()
        .collect();
    let mut shape = first.shape.clone();
    shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
    let kind = first.kind;
    Ok(Known { kind, shape, data })
}

/// Of vectors, to one number.
fn reduce(importer: &Importer<'_>, node: &Node<'_>, x: &Known) -> Result<Option<Known>, Error> {
    let axes = node.ints_or_input(importer, "axes", 1)?;
    let whole = x.shape.len() == 1 && axes.is_none_or(|axes| matches!(axes[..], [0 | -1]));
    let op = match node.op() {
        "ReduceProd" => "Mul",
        "ReduceSum" => "Add",
        "ReduceMax" => "Max",
        _ => "Min",
    };
    let ints = x.kind == Kind::Int;
    let mut numbers = x.data.iter().copied();
    let first = numbers.next().filter(|_| whole);
    let total = first.and_then(|n| numbers.try_fold(n, |a, b| known::binary(op, a, b, ints)));
    let keep = node.int("keepdims", 1)? != 0;
    Ok(total.map(|total| Known {
        kind: x.kind,
        shape: if keep { vec![1] } else { Vec::new() },
        data: vec![total],
    }))
}

/// Extents as the dimensions of a graph's value.
pub(super) fn dims(known: &Known) -> Result<Vec<Dim>, Error> {
    let dim = |n: &Number| {
        let whole = n.value.fract() == 0.0 && (0.0..1e15).contains(&n.value);
        match (whole && n.slope == 0.0, n.per_image) {
            (true, true) => Ok(Dim::PerImage(n.value as usize)),
            (true, false) => Ok(Dim::Fixed(n.value as usize)),
            (false, _) => Err(Error::unsupported(format!(
                "an extent cannot be {}",
                n.value
            ))),
        }
    };
    known.data.iter().map(dim).collect()
}
