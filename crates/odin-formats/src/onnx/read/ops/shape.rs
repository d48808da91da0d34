//! Shapes as values, and constants made from them: Shape, Size, Constant, ConstantOfShape, Range.

use super::reshape::shape_from;
use crate::Error;
use crate::onnx::read::builder::{Builder, Value, invalid};
use crate::onnx::read::const_value::{ConstValue, Kind, elements};
use crate::onnx::read::node::Node;
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{Operator, Read, operator, shape_values};
use crate::onnx::read::tensor;
use odin_graph::{Dim, Tensor};
use std::sync::Arc;

pub(super) const OPERATORS: &[Operator] = &[
    operator("Constant", constant),
    shape_values("ConstantOfShape", constant_of_shape),
    shape_values("Range", range),
    shape_values("Shape", shape),
    shape_values("Size", size),
];

fn one_value(value: ConstValue) -> Read {
    Ok(vec![Value::Const(Arc::new(value))])
}

fn constant(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    if let Some(tensor) = node.tensor("value")? {
        return Ok(vec![g.constant(tensor)?]);
    }
    if let Some(sparse) = node.sparse_tensor("sparse_value")? {
        return Ok(vec![g.sparse_constant(sparse)?]);
    }
    one_value(if node.has("value_int") {
        ConstValue::scalar(Kind::Int, node.int("value_int", 0)? as f64)
    } else if node.has("value_float") {
        ConstValue::scalar(Kind::Float, f64::from(node.float("value_float", 0.0)?))
    } else if let Some(ints) = node.ints("value_ints")? {
        let numbers = ints.iter().map(|&v| Number::fixed(v as f64));
        ConstValue::vector(Kind::Int, numbers.collect())
    } else if let Some(floats) = node.floats("value_floats")? {
        let numbers = floats.iter().map(|&v| Number::fixed(f64::from(v)));
        ConstValue::vector(Kind::Float, numbers.collect())
    } else {
        return Err(Error::unsupported("constants of text are not read"));
    })
}

fn shape(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let shape = g.shape_of(node.input(0)?);
    let dims: Vec<Number> = shape.dims().iter().map(|&d| d.into()).collect();
    let clamp =
        |at: i64| (if at < 0 { at + dims.len() as i64 } else { at }).clamp(0, dims.len() as i64);
    let start = clamp(node.int("start", 0)?) as usize;
    let end = clamp(node.int("end", i64::MAX)?) as usize;
    let part = dims.get(start..end).unwrap_or_default().to_vec();
    one_value(ConstValue::vector(Kind::Int, part))
}

fn size(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let shape = g.shape_of(node.input(0)?);
    let count = shape.dims().iter().map(|d| d.at(1) as f64).product();
    let mut size = ConstValue::scalar(Kind::Int, count);
    size.data[0].per_image = shape.dims().iter().any(|d| d.fixed().is_none());
    one_value(size)
}

fn constant_of_shape(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let extents = node.constant(g, 0)?;
    let extents = extents.ok_or_else(|| Error::corrupt("it has no shape"))?;
    let (kind, fill) = match node.tensor("value")? {
        Some(value) => {
            g.spend::<Number>(elements(&tensor::extents(&value.dims)?)?)?;
            let value = tensor::const_value(value, None)?;
            (value.kind, value.data.first().copied())
        }
        None => (Kind::Float, None),
    };
    let fill = fill.unwrap_or(Number::fixed(0.0));
    let shape = shape_from(&extents)?;
    match shape.as_fixed() {
        Some(shape) => {
            let count = elements(&shape)?;
            g.spend::<Number>(count)?;
            let data = vec![fill; count];
            one_value(ConstValue { kind, shape, data })
        }
        None => {
            let tensor = Tensor::scalar(fill.value as f32);
            let scalar = g.graph.constant(tensor).map_err(invalid)?;
            Ok(vec![Value::Node(g.expand(scalar, shape)?)])
        }
    }
}

fn range(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    if numbers_images(g, node)? {
        return one_value(ConstValue::vector(Kind::Int, vec![Number::of_image()]));
    }
    let mut kind = Kind::Int;
    let mut number = |i: usize| -> Result<f64, Error> {
        let bound = node.constant(g, i)?;
        let bound = bound.filter(|k| k.data.len() == 1 && !k.data[0].per_image);
        let bound = bound.ok_or_else(|| Error::unsupported("a range needs fixed bounds"))?;
        kind = bound.kind;
        Ok(bound.data[0].value)
    };
    let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
    let count = ((limit - start) / step).ceil();
    if !count.is_finite() || count > 1e9 {
        return Err(Error::unsupported("a range without end"));
    }
    let count = count.max(0.0) as usize;
    g.spend::<Number>(count)?;
    let data = (0..count).map(|i| Number::fixed(start + i as f64 * step));
    one_value(ConstValue::vector(kind, data.collect()))
}

/// Whether a range is `0..N`: one entry, which stands along the batch axis for the number of the
/// image.
fn numbers_images(g: &Builder<'_>, node: &Node<'_>) -> Result<bool, Error> {
    let mut bounds = Vec::new();
    for i in 0..3 {
        let bound = node.constant(g, i)?;
        bounds.extend(bound.and_then(|b| b.data.first().copied()));
    }
    let images = Number::from(Dim::BATCH);
    Ok(bounds == [Number::fixed(0.0), images, Number::fixed(1.0)])
}
