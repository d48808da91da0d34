//! Quantised networks (QDQ), read as the real numbers that they stand for: weights as they are
//! stored, activations bounded by the range of their type, but not rounded, since a rounded value
//! has no gradient.

use crate::Error;
use crate::onnx::proto::data_type;
use crate::onnx::read::builder::{Builder, Built, Quantized, Value, invalid};
use crate::onnx::read::node::{Node, axis};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{Operator, Read, one, operator};
use crate::onnx::read::tensor::type_name;
use odin_graph::op::{Binary, Unary};
use odin_graph::{Dim, Op, Shape, Tensor, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("DequantizeLinear", dequantize),
    operator("QuantizeLinear", quantize),
];

/// `q = x / scale + zero`, of all numbers or for each entry of an axis.
struct Steps {
    scale: Vec<f64>,
    zero: Vec<f64>,
    axis: usize,
}

impl Steps {
    fn of(g: &Builder<'_>, node: &Node<'_>, shape: &Shape) -> Result<Self, Error> {
        if node.int("block_size", 0)? != 0 {
            return Err(Error::unsupported(
                "scales for blocks of an axis are not read",
            ));
        }
        let numbers = |i: usize| -> Result<Option<Vec<f64>>, Error> {
            let constant = node.constant(g, i)?;
            Ok(constant.map(|c| c.data.iter().map(|n| n.value).collect()))
        };
        let scale = numbers(1)?.filter(|scale| scale.iter().all(|s| s.is_finite() && *s > 0.0));
        let scale = scale.ok_or_else(|| Error::corrupt("its scale is no positive number"))?;
        let zero = numbers(2)?.unwrap_or_else(|| vec![0.0; scale.len()]);
        if zero.len() != scale.len() {
            return Err(Error::corrupt(format!(
                "{} scales have {} zero points",
                scale.len(),
                zero.len()
            )));
        }
        let along = match scale.len() {
            1 => 0,
            count => {
                let along = axis(node.int("axis", 1)?, shape.rank())?;
                let fits = shape.dims()[along] == Dim::Fixed(count);
                let misfit = || format!("{count} scales do not fit axis {along} of {shape}");
                fits.then_some(along)
                    .ok_or_else(|| Error::corrupt(misfit()))?
            }
        };
        Ok(Self {
            scale,
            zero,
            axis: along,
        })
    }

    fn is_of_all(&self) -> bool {
        self.scale.len() == 1
    }

    /// The real numbers that the elements of an array stand for.
    fn dequantized(
        &self,
        g: &mut Builder<'_>,
        shape: &[usize],
        stored: impl ExactSizeIterator<Item = f64>,
    ) -> Read {
        g.spend::<f32>(stored.len())?;
        let inner: usize = shape[shape.len().min(self.axis + 1)..].iter().product();
        let real = stored.enumerate().map(|(i, q)| {
            let at = i / inner.max(1) % self.scale.len();
            ((q - self.zero[at]) * self.scale[at]) as f32
        });
        let real: Vec<f32> = real.collect();
        let tensor = Tensor::new(shape.to_vec(), real).map_err(invalid)?;
        one(g.graph.constant(tensor).map_err(invalid)?)
    }

    /// Numbers along the axis, as an operand for values of so many axes.
    fn operand(&self, g: &mut Builder<'_>, numbers: &[f64], rank: usize) -> Built {
        let mut shape = vec![
            1;
            if self.is_of_all() {
                0
            } else {
                rank - self.axis
            }
        ];
        if let Some(first) = shape.first_mut() {
            *first = numbers.len();
        }
        let numbers: Vec<f32> = numbers.iter().map(|&v| v as f32).collect();
        let tensor = Tensor::new(shape, numbers).map_err(invalid)?;
        g.graph.constant(tensor).map_err(invalid)
    }
}

/// The smallest and the largest number of a type.
fn range(ty: i32) -> Result<[f64; 2], Error> {
    match ty {
        data_type::UINT8 => Ok([0.0, 255.0]),
        data_type::INT8 => Ok([-128.0, 127.0]),
        data_type::UINT16 => Ok([0.0, 65535.0]),
        data_type::INT16 => Ok([-32768.0, 32767.0]),
        other => Err(Error::unsupported(format!(
            "quantised numbers of the type {} are not read",
            type_name(other)
        ))),
    }
}

/// The type that a node quantises to: that of its zero point, or an attribute, or bytes.
fn target(node: &Node<'_>) -> Result<i32, Error> {
    match (node.optional(2), node.element_type(2)) {
        (Some(_), Some(ty)) => Ok(ty),
        (Some(_), None) => Err(Error::unsupported(
            "the type of its zero point is not known",
        )),
        (None, _) => Ok(match node.int("output_dtype", 0)? {
            0 => data_type::UINT8,
            ty => ty as i32,
        }),
    }
}

fn quantize(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    g.is_quantized = true;
    let x = node.value(g, 0)?;
    let shape = g.graph.shape(x).clone();
    let steps = Steps::of(g, node, &shape)?;
    let [low, high] = range(target(node)?)?;
    if let Some(tensor) = g.graph.constant_value(x).cloned() {
        return quantized_constant(g, &steps, &tensor, [low, high]);
    }
    let (&[scale], &[zero]) = (&steps.scale[..], &steps.zero[..]) else {
        return Err(Error::unsupported(
            "activations with a scale for each channel are not read",
        ));
    };
    let clip = Unary::Clip {
        min: ((low - zero) * scale) as f32,
        max: ((high - zero) * scale) as f32,
    };
    let real = g.op(Op::Unary(clip), &[x])?;
    let per_step = g.scalar((1.0 / scale) as f32)?;
    let zero_point = g.scalar(zero as f32)?;
    let steps = g.op(Op::Binary(Binary::Mul), &[real, per_step])?;
    let quantized = g.op(Op::Binary(Binary::Add), &[steps, zero_point])?;
    g.quantized
        .insert(quantized, Quantized { real, scale, zero });
    one(quantized)
}

/// Constants are rounded, as the file's runtimes do.
fn quantized_constant(
    g: &mut Builder<'_>,
    steps: &Steps,
    tensor: &Tensor,
    [low, high]: [f64; 2],
) -> Read {
    g.spend::<f32>(tensor.data().len())?;
    let shape = tensor.shape();
    let inner: usize = shape[shape.len().min(steps.axis + 1)..].iter().product();
    let numbers = tensor.data().iter().enumerate().map(|(i, &v)| {
        let at = i / inner.max(1) % steps.scale.len();
        let step = (f64::from(v) / steps.scale[at]).round_ties_even();
        (step + steps.zero[at]).clamp(low, high) as f32
    });
    let numbers: Vec<f32> = numbers.collect();
    let tensor = Tensor::new(shape.to_vec(), numbers).map_err(invalid)?;
    one(g.graph.constant(tensor).map_err(invalid)?)
}

fn dequantize(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    g.is_quantized = true;
    let operand = node.input(0)?;
    let steps = Steps::of(g, node, &g.shape_of(operand))?;
    let x = match operand {
        Value::Const(stored) => {
            let (stored, fixed) = (stored.clone(), |n: &Number| n.is_fixed());
            if !stored.data.iter().all(fixed) {
                return Err(Error::unsupported("the size of the batch is dequantised"));
            }
            let numbers = stored.data.iter().map(|n| n.value);
            return steps.dequantized(g, &stored.shape, numbers);
        }
        Value::Node(x) => *x,
    };
    if let Some(tensor) = g.graph.constant_value(x).cloned() {
        let numbers = tensor.data().iter().map(|&v| f64::from(v));
        return steps.dequantized(g, tensor.shape(), numbers);
    }
    match g.quantized.get(&x) {
        Some(q) if [q.scale] == steps.scale[..] && [q.zero] == steps.zero[..] => one(q.real),
        _ => one(real_of(g, &steps, x)?),
    }
}

/// `(x - zero) · scale`
fn real_of(g: &mut Builder<'_>, steps: &Steps, x: ValueId) -> Built {
    let rank = g.rank(x);
    let zero = steps.operand(g, &steps.zero, rank)?;
    let scale = steps.operand(g, &steps.scale, rank)?;
    let from_zero = g.op(Op::Binary(Binary::Sub), &[x, zero])?;
    g.op(Op::Binary(Binary::Mul), &[from_zero, scale])
}
