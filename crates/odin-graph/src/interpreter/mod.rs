//! The reference interpreter: every operator by its definition, in f32 or f64.

mod array;
mod elementwise;
mod layout;
mod window;

pub use array::{Array, Real, Value};

use crate::op::*;
use crate::{Dim, Error, ErrorKind, Graph, Op};
use array::Offsets;
use std::cmp::Ordering;

/// Runs a graph on a batch and returns its outputs in order. The number of images is read from the
/// inputs.
///
/// # Errors
/// If an input is missing, unknown, or of the wrong shape; the message names it.
pub fn interpret<T: Real>(
    graph: &Graph,
    inputs: &[(&str, Array<T>)],
) -> Result<Vec<Value<T>>, Error> {
    let images = check_inputs(graph, inputs)?;
    let needed = graph.needed_for_outputs();
    let mut values: Vec<Option<Value<T>>> = vec![None; graph.nodes().len()];
    for value in graph.values().filter(|v| needed[v.index()]) {
        let node = graph.node(value);
        let operands: Vec<&Value<T>> = node
            .operands
            .iter()
            .filter_map(|v| values[v.index()].as_ref())
            .collect();
        let shape = node.ty.shape.at(images);
        values[value.index()] = Some(evaluate(&node.op, &operands, shape, inputs));
    }
    Ok(graph
        .outputs()
        .iter()
        .filter_map(|o| values[o.value.index()].clone())
        .collect())
}

/// Checks names and shapes, and returns the number of images.
fn check_inputs<T: Real>(graph: &Graph, inputs: &[(&str, Array<T>)]) -> Result<usize, Error> {
    let fail = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    if let Some((name, _)) = inputs
        .iter()
        .find(|(name, _)| graph.inputs().all(|(_, i)| i.name != *name))
    {
        return fail(format!("the graph has no input {name:?}"));
    }
    let mut images = None;
    for (_, input) in graph.inputs() {
        let Some((name, array)) = inputs.iter().find(|(name, _)| *name == input.name) else {
            return fail(format!("the input {:?} is missing", input.name));
        };
        let dims = input.ty.shape.dims();
        let batch = dims
            .iter()
            .zip(array.shape())
            .find_map(|(dim, &extent)| match dim {
                Dim::PerImage(k) => Some(extent / k),
                Dim::Fixed(_) => None,
            });
        images = images.or(batch);
        if input.ty.shape.at(images.unwrap_or(1)) != array.shape() {
            let expected = &input.ty.shape;
            return fail(format!(
                "the input {name:?} must be {expected}, it is {:?}",
                array.shape()
            ));
        }
    }
    Ok(images.unwrap_or(1))
}

fn evaluate<T: Real>(
    op: &Op,
    operands: &[&Value<T>],
    shape: Vec<usize>,
    inputs: &[(&str, Array<T>)],
) -> Value<T> {
    let x = |i: usize| operands[i].array();
    let float = |data: Vec<T>, shape: Vec<usize>| Value::Float(Array::new(shape, data));
    match op {
        Op::Input(input) => {
            let given = inputs.iter().find(|(name, _)| *name == input.name);
            let data = given.map(|(_, array)| array.floats().to_vec());
            float(data.unwrap_or_default(), shape)
        }
        Op::Constant(tensor) => float(tensor.data().iter().map(|&v| T::of(v)).collect(), shape),
        Op::Conv(conv) => float(window::conv(conv, operands, &shape), shape),
        Op::ConvTranspose(conv) => float(window::conv_transpose(conv, operands, &shape), shape),
        Op::BatchNorm(norm) => float(elementwise::batch_norm(norm, operands), shape),
        Op::Relu => float(elementwise::map(x(0), elementwise::relu), shape),
        Op::Unary(unary) => float(
            elementwise::map(x(0), |v| elementwise::unary(*unary, v)),
            shape,
        ),
        Op::MaxPool(w) => float(window::max_pool(w, x(0), &shape), shape),
        Op::MaxPoolGrad(w) => float(window::max_pool_grad(w, x(0), x(1)), shape),
        Op::AvgPool(pool) => float(window::avg_pool(pool, x(0), &shape), shape),
        Op::Binary(binary) => {
            let pairs = x(0).broadcast(&shape).zip(x(1).broadcast(&shape));
            let results = pairs.map(|(a, b)| elementwise::binary(*binary, a, b));
            float(results.collect(), shape)
        }
        Op::Compare(compare) => {
            let holds = |(a, b): (T, T)| match compare {
                Compare::Greater => a > b,
                Compare::GreaterOrEqual => a >= b,
            };
            let pairs = x(0).broadcast(&shape).zip(x(1).broadcast(&shape));
            Value::Bool(pairs.map(holds).collect(), shape)
        }
        Op::Where => {
            let Value::Bool(mask, mask_shape) = operands[0] else {
                return float(Vec::new(), shape);
            };
            let strides = array::broadcast_strides(mask_shape, &shape);
            let conditions = Offsets::new(&shape, &strides, 0).map(|i| mask[i]);
            let branches = x(1).broadcast(&shape).zip(x(2).broadcast(&shape));
            let chosen = conditions
                .zip(branches)
                .map(|(c, (a, b))| if c { a } else { b });
            float(chosen.collect(), shape)
        }
        Op::Concat(concat) => {
            let parts: Vec<&Array<T>> = (0..operands.len()).map(x).collect();
            float(layout::concat(concat.axis, &parts), shape)
        }
        Op::Slice(slice) => float(layout::slice(slice, x(0), &shape), shape),
        Op::Pad(pad) => float(layout::pad(pad, x(0), &shape), shape),
        Op::Reshape(_) => operands[0].reshaped(shape),
        Op::Expand(_) => float(x(0).broadcast(&shape).collect(), shape),
        Op::Transpose(perm) => float(layout::transpose(perm, x(0), &shape), shape),
        Op::MatMul => float(layout::mat_mul(x(0), x(1), &shape), shape),
        Op::Gemm(gemm) => float(layout::gemm(gemm, operands, &shape), shape),
        Op::Reduce(r) => float(reduce(r, x(0), &shape), shape),
        Op::Softmax(Axis(axis)) => float(softmax(x(0), *axis), shape),
        Op::LogSoftmax(Axis(axis)) => float(log_softmax(x(0), *axis), shape),
        Op::ArgMax(Axis(axis)) => {
            let classes = rows(x(0), *axis).map(|row| array::first_max(&row) as i64);
            Value::Int(classes.collect(), shape)
        }
        Op::TopK(top) => float(top_k(*top, x(0), &shape), shape),
        Op::OneHot(depth) => {
            let Value::Int(indices, _) = operands[0] else {
                return float(Vec::new(), shape);
            };
            let hot =
                |i: i64| (0..*depth as i64).map(move |k| if k == i { T::one() } else { T::zero() });
            float(indices.iter().flat_map(|&i| hot(i)).collect(), shape)
        }
    }
}

pub(crate) fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn reduce<T: Real>(reduce: &Reduce, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let start = match reduce.kind {
        ReduceKind::Max => T::neg_infinity(),
        ReduceKind::Sum | ReduceKind::Mean => T::zero(),
    };
    let mut result = vec![start; count(shape)];
    let mut kept = x.shape().to_vec();
    reduce.axes.iter().for_each(|&axis| kept[axis] = 1);
    let strides = array::broadcast_strides(&kept, x.shape());
    for (offset, &v) in Offsets::new(x.shape(), &strides, 0).zip(x.floats()) {
        let r = &mut result[offset];
        *r = match reduce.kind {
            ReduceKind::Max => r.max(v),
            ReduceKind::Sum | ReduceKind::Mean => *r + v,
        };
    }
    if reduce.kind == ReduceKind::Mean {
        let n = T::of((x.floats().len() / result.len().max(1)) as f32);
        result.iter_mut().for_each(|r| *r = *r / n);
    }
    result
}

/// Offsets of the entries of each line along `axis`, in the row-major order of the other axes.
fn lines<T: Real>(x: &Array<T>, axis: usize) -> impl Iterator<Item = Vec<usize>> + use<T> {
    let (extent, inner) = (x.shape()[axis], count(&x.shape()[axis + 1..]));
    let outer = count(&x.shape()[..axis]);
    (0..outer * inner).map(move |line| {
        let first = line / inner * extent * inner + line % inner;
        (0..extent).map(|k| first + k * inner).collect()
    })
}

fn rows<T: Real>(x: &Array<T>, axis: usize) -> impl Iterator<Item = Vec<T>> + use<'_, T> {
    lines(x, axis).map(|line| line.into_iter().map(|i| x.floats()[i]).collect())
}

fn top_k<T: Real>(top: TopK, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let mut result = vec![T::zero(); count(shape)];
    let inner: usize = shape[top.axis + 1..].iter().product();
    for (line, mut row) in rows(x, top.axis).enumerate() {
        // NaN counts as the largest.
        row.sort_by(|a, b| {
            let nan = b.is_nan().cmp(&a.is_nan());
            nan.then(b.partial_cmp(a).unwrap_or(Ordering::Equal))
        });
        let first = line / inner * top.k * inner + line % inner;
        for (i, value) in row.into_iter().take(top.k).enumerate() {
            result[first + i * inner] = value;
        }
    }
    result
}

fn softmax<T: Real>(x: &Array<T>, axis: usize) -> Vec<T> {
    log_softmax(x, axis).into_iter().map(|v| v.exp()).collect()
}

fn log_softmax<T: Real>(x: &Array<T>, axis: usize) -> Vec<T> {
    let mut result = x.floats().to_vec();
    for line in lines(x, axis) {
        let max = line
            .iter()
            .fold(T::neg_infinity(), |m, &i| m.max(result[i]));
        let sum = line
            .iter()
            .fold(T::zero(), |s, &i| s + (result[i] - max).exp());
        for i in line {
            result[i] = result[i] - max - sum.ln();
        }
    }
    result
}
