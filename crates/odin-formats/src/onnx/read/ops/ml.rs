//! Operators of the domain `ai.onnx.ml`, as far as linear models of scikit-learn use them.

use super::arithmetic::magnitude;
use super::pick::{fixed_extent, indices, pick};
use crate::Error;
use crate::onnx::read::builder::{Builder, Built, Value, invalid};
use crate::onnx::read::node::Node;
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::op::{Axis, Binary, Gemm, ReduceKind, Unary};
use odin_graph::{Op, Tensor, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("ArrayFeatureExtractor", features),
    operator("LinearClassifier", linear_classifier),
    operator("Normalizer", normalizer),
    operator("Scaler", scaler),
    // Rows as maps from the names of the classes; the names are read elsewhere.
    operator("ZipMap", |g, node| one(node.value(g, 0)?)),
];

/// Some entries of each row.
fn features(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let places = node.constant_ints(g, 1)?;
    let places = places.ok_or_else(|| Error::corrupt("it has no indices"))?;
    let last = g.rank(x).checked_sub(1);
    let last = last.ok_or_else(|| Error::corrupt("its operand has no axes"))?;
    let extent = fixed_extent(g, x, last)?;
    one(pick(g, x, last, &indices(&places, extent)?)?)
}

/// `(x - offset) · scale`
fn scaler(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(g, 0)?;
    for (name, op) in [("offset", Binary::Sub), ("scale", Binary::Mul)] {
        if let Some(numbers) = node.floats(name)? {
            let numbers = vector(g, numbers)?;
            x = g.op(Op::Binary(op), &[x, numbers])?;
        }
    }
    one(x)
}

fn vector(g: &mut Builder<'_>, numbers: Vec<f32>) -> Built {
    g.spend::<f32>(numbers.len())?;
    g.graph.constant(Tensor::vector(numbers)).map_err(invalid)
}

/// Rows divided by their norm. Those of zeros stay what they are.
fn normalizer(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let last = g.rank(x).saturating_sub(1);
    let along = vec![last];
    if matches!(
        g.graph.node(x).op,
        Op::Softmax(_) | Op::Unary(Unary::Sigmoid)
    ) {
        let sum = g.reduce(x, ReduceKind::Sum, along, true)?;
        return one(g.op(Op::Binary(Binary::Div), &[x, sum])?);
    }
    let norm = match node.text("norm", "MAX")?.as_str() {
        "L1" => {
            let magnitudes = magnitude(g, x)?;
            g.reduce(magnitudes, ReduceKind::Sum, along, true)?
        }
        "L2" => {
            let squares = g.op(Op::Binary(Binary::Mul), &[x, x])?;
            let sum = g.reduce(squares, ReduceKind::Sum, along, true)?;
            g.op(Op::Unary(Unary::Sqrt), &[sum])?
        }
        other => {
            let message = format!("the norm {other:?} is not read; L1 and L2 are");
            return Err(Error::unsupported(message));
        }
    };
    let clip = Unary::Clip {
        min: f32::MIN_POSITIVE,
        max: f32::INFINITY,
    };
    let norm = g.op(Op::Unary(clip), &[norm])?;
    one(g.op(Op::Binary(Binary::Div), &[x, norm])?)
}

/// The label, and the scores of the classes.
fn linear_classifier(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    if g.rank(x) != 2 {
        return Err(Error::unsupported("its operand must be rows [N, features]"));
    }
    let layer = Layer::of(node, fixed_extent(g, x, 1)?)?;
    let logits = layer.logits(g, x)?;
    let label = g.op(Op::ArgMax(Axis(1)), &[logits])?;
    let softmax = Op::Softmax(Axis(1));
    let scores = match node.text("post_transform", "NONE")?.as_str() {
        "NONE" => logits,
        "LOGISTIC" if layer.is_binary => g.op(softmax, &[logits])?,
        "LOGISTIC" => g.op(Op::Unary(Unary::Sigmoid), &[logits])?,
        "SOFTMAX" | "SOFTMAX_ZERO" => g.op(softmax, &[logits])?,
        other => {
            let message = format!("the transform {other:?} of its scores is not read");
            return Err(Error::unsupported(message));
        }
    };
    Ok(vec![Value::Node(label), Value::Node(scores)])
}

/// The linear layer of a classifier: a row of weights and a bias for each class.
struct Layer {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Whether the logits are `-z/2` and `z/2` of one number `z`.
    is_binary: bool,
}

impl Layer {
    fn of(node: &Node<'_>, features: usize) -> Result<Self, Error> {
        let weight = node.floats("coefficients")?.unwrap_or_default();
        let bias = node.floats("intercepts")?.unwrap_or_default();
        let rows = weight.len().checked_div(features).unwrap_or(0);
        let bias = match bias.is_empty() {
            true => vec![0.0; rows],
            false => bias,
        };
        if rows == 0 || rows * features != weight.len() || bias.len() != rows {
            return Err(Error::corrupt(format!(
                "{} coefficients and {} intercepts do not fit {features} features",
                weight.len(),
                bias.len()
            )));
        }
        let logistic = node.text("post_transform", "NONE")? == "LOGISTIC";
        let (first, last) = weight.split_at(weight.len() / 2);
        let opposite = first.iter().zip(last).all(|(a, b)| *a == -b);
        let layer = Self {
            is_binary: false,
            weight,
            bias,
        };
        Ok(match layer.bias[..] {
            [_] => layer.of_one(),
            [a, b] if logistic && opposite && a == -b => layer.halved(),
            _ => layer,
        })
    }

    /// Of a single row `z`, of the second class: `-z/2` and `z/2`.
    fn of_one(mut self) -> Self {
        let opposite = |row: &[f32]| {
            let negative = row.iter().map(|v| -v);
            negative.chain(row.iter().copied()).collect()
        };
        self.weight = opposite(&self.weight);
        self.bias = opposite(&self.bias);
        self.halved()
    }

    /// The softmax of `-z/2` and `z/2` are the sigmoids of `-z` and `z`.
    fn halved(mut self) -> Self {
        let numbers = self.weight.iter_mut().chain(&mut self.bias);
        numbers.for_each(|v| *v /= 2.0);
        self.is_binary = true;
        self
    }

    fn logits(&self, g: &mut Builder<'_>, x: ValueId) -> Built {
        let rows = self.bias.len();
        g.spend::<f32>(self.weight.len())?;
        let shape = vec![rows, self.weight.len() / rows];
        let weight = Tensor::new(shape, self.weight.clone()).map_err(invalid)?;
        let weight = g.graph.constant(weight).map_err(invalid)?;
        let bias = vector(g, self.bias.clone())?;
        let gemm = Gemm {
            alpha: 1.0,
            beta: 1.0,
            trans_a: false,
            trans_b: true,
        };
        g.op(Op::Gemm(gemm), &[x, weight, bias])
    }
}
