//! What the formulas of scores are made of: fitted numbers, sums along rows, norms, the energy.

use super::Ends;
use crate::{Error, ErrorKind};
use odin_graph::op::{Axis, Binary, Compare, ReduceKind, SliceAxis, Unary};
use odin_graph::{Graph, LinearHead, Op, Shape, Tensor, ValueId};
use odin_scores::{NamedTensor, Values};

pub(super) type Term = Result<ValueId, Error>;

fn missing(what: &str) -> Error {
    let problem = format!("a score needs {what}, which is not there");
    Error::new(ErrorKind::Classifier, problem)
}

/// The rows of scores are images: `[N, ...]`.
pub(super) struct Terms<'a> {
    pub(super) g: &'a mut Graph,
    ends: &'a Ends,
    fitted: &'a [NamedTensor],
}

impl<'a> Terms<'a> {
    pub(super) fn new(g: &'a mut Graph, ends: &'a Ends, fitted: &'a [NamedTensor]) -> Self {
        Self { g, ends, fitted }
    }

    /// `[N, C]`.
    pub(super) fn logits(&self) -> ValueId {
        self.ends.logits
    }

    pub(super) fn classes(&self) -> usize {
        self.width(self.ends.logits)
    }

    /// The features as `[N, D]`.
    pub(super) fn features(&mut self) -> Term {
        let features = self.head()?.features;
        Ok(self.g.flatten(features)?)
    }

    /// The features of the shifted images as `[N, D]`.
    pub(super) fn shifted_features(&mut self) -> Term {
        let shifted = self.ends.shifted_features;
        let shifted = shifted.ok_or_else(|| missing("the features of the shifted image"))?;
        Ok(self.g.flatten(shifted)?)
    }

    /// The feature map, `[N, D, ...]`.
    pub(super) fn feature_map(&self) -> Term {
        let map = self.ends.feature_map;
        map.ok_or_else(|| missing("the feature map before pooling"))
    }

    pub(super) fn head(&self) -> Result<&'a LinearHead, Error> {
        let head = self.ends.head.as_ref();
        head.ok_or_else(|| missing("the input of the last linear layer"))
    }

    /// The extent of the second axis.
    pub(super) fn width(&self, rows: ValueId) -> usize {
        self.g.shape(rows).at(1).get(1).copied().unwrap_or(1)
    }

    // What was fitted.

    fn find(&self, name: &str) -> Result<&'a NamedTensor, Error> {
        let found = self.fitted.iter().find(|tensor| tensor.name == name);
        found.ok_or_else(|| {
            let problem = format!("the score has no tensor {name:?}");
            Error::new(ErrorKind::Scores, problem)
        })
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        let tensor = self.find(name)?;
        let values: Vec<f32> = match &tensor.values {
            Values::F32(values) => values.clone(),
            Values::F64(values) => values.iter().map(|&v| v as f32).collect(),
        };
        Ok(Tensor::new(tensor.shape.clone(), values)?)
    }

    /// So many numbers.
    pub(super) fn vector<const K: usize>(&self, name: &str) -> Result<[f64; K], Error> {
        let numbers = match &self.find(name)?.values {
            Values::F64(values) => values.as_slice().try_into().ok(),
            Values::F32(_) => None,
        };
        numbers.ok_or_else(|| {
            let problem = format!("the tensor {name:?} does not hold {K} numbers");
            Error::new(ErrorKind::Scores, problem)
        })
    }

    pub(super) fn number(&self, name: &str) -> Result<f64, Error> {
        match &self.find(name)?.values {
            Values::F64(values) => Ok(values.first().copied().unwrap_or(f64::NAN)),
            Values::F32(values) => Ok(values.first().map_or(f64::NAN, |&v| v.into())),
        }
    }

    pub(super) fn pair(&self, name: &str) -> Result<[f64; 2], Error> {
        match &self.find(name)?.values {
            Values::F64(values) if values.len() == 2 => Ok([values[0], values[1]]),
            _ => Err(Error::new(
                ErrorKind::Scores,
                format!("the tensor {name:?} has not two numbers"),
            )),
        }
    }

    // Arithmetic.

    pub(super) fn scalar(&mut self, value: f64) -> Term {
        Ok(self.g.scalar(value as f32)?)
    }

    pub(super) fn times(&mut self, x: ValueId, factor: f64) -> Term {
        let factor = self.scalar(factor)?;
        Ok(self.g.mul(x, factor)?)
    }

    pub(super) fn negative(&mut self, x: ValueId) -> Term {
        let zero = self.scalar(0.0)?;
        Ok(self.g.sub(zero, x)?)
    }

    pub(super) fn magnitude(&mut self, x: ValueId) -> Term {
        let negative = self.negative(x)?;
        Ok(self.g.add(Op::Binary(Binary::Max), &[x, negative])?)
    }

    pub(super) fn at_least(&mut self, x: ValueId, least: f64) -> Term {
        let least = self.scalar(least)?;
        Ok(self.g.add(Op::Binary(Binary::Max), &[x, least])?)
    }

    /// `[N, K]` to `[N]`.
    pub(super) fn sum(&mut self, x: ValueId) -> Term {
        Ok(self.g.reduce(x, ReduceKind::Sum, vec![1], false)?)
    }

    /// `[N, K]` to `[N]`.
    pub(super) fn largest(&mut self, x: ValueId) -> Term {
        Ok(self.g.reduce(x, ReduceKind::Max, vec![1], false)?)
    }

    /// `[N]` to `[N, 1]`.
    pub(super) fn column(&mut self, x: ValueId) -> Term {
        Ok(self.g.reshape(x, Shape::batched(&[1]))?)
    }

    /// Entry `i` of each row, `[N, K]` to `[N, 1]`.
    pub(super) fn entry(&mut self, x: ValueId, i: usize) -> Term {
        let only = SliceAxis {
            axis: 1,
            start: i,
            end: i + 1,
            step: 1,
        };
        Ok(self.g.slice(x, vec![only])?)
    }

    /// `Σ x²` of each row.
    pub(super) fn squared_norm(&mut self, x: ValueId) -> Term {
        let squares = self.g.mul(x, x)?;
        self.sum(squares)
    }

    pub(super) fn norm(&mut self, x: ValueId) -> Term {
        let squared = self.squared_norm(x)?;
        Ok(self.g.unary(Unary::Sqrt, squared)?)
    }

    /// `‖x‖₁` of each row.
    pub(super) fn l1_norm(&mut self, x: ValueId) -> Term {
        let magnitudes = self.magnitude(x)?;
        self.sum(magnitudes)
    }

    /// `h - c` with a fitted vector c.
    pub(super) fn centred(&mut self, centre: &str) -> Term {
        let features = self.features()?;
        let centre = self.tensor(centre)?;
        let centre = self.g.constant(centre)?;
        Ok(self.g.sub(features, centre)?)
    }

    /// `x Mᵀ` with a matrix M `[K, D]`.
    pub(super) fn product(&mut self, x: ValueId, matrix: Tensor) -> Term {
        let matrix = self.g.constant(matrix)?;
        Ok(self.g.linear(x, matrix, None)?)
    }

    /// The rows of a matrix `[K, D]` at indices `[N]`.
    pub(super) fn rows_at(&mut self, matrix: Tensor, indices: ValueId) -> Term {
        let rows = matrix.shape()[0];
        let one_hot = self.g.add(Op::OneHot(rows), &[indices])?;
        let matrix = self.g.constant(matrix)?;
        Ok(self.g.mat_mul(one_hot, matrix)?)
    }

    /// The row of a matrix `[C, D]` for the predicted class.
    pub(super) fn of_prediction(&mut self, matrix: Tensor) -> Term {
        self.rows_at(matrix, self.ends.prediction)
    }

    /// 1 at the predicted class, 0 elsewhere.
    pub(super) fn predicted(&mut self) -> Term {
        let classes = self.classes();
        Ok(self.g.add(Op::OneHot(classes), &[self.ends.prediction])?)
    }

    /// `condition > 0 ? a : b`.
    pub(super) fn where_positive(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> Term {
        let zero = self.scalar(0.0)?;
        let positive = self.g.compare(Compare::Greater, condition, zero)?;
        Ok(self.g.select(positive, a, b)?)
    }

    /// The index of the first largest entry of each row.
    pub(super) fn index_of_largest(&mut self, x: ValueId) -> Term {
        Ok(self.g.add(Op::ArgMax(Axis(1)), &[x])?)
    }

    /// `log Σ exp z` of each row.
    pub(super) fn energy(&mut self, logits: ValueId) -> Term {
        let max = self.largest(logits)?;
        let column = self.column(max)?;
        let below = self.g.sub(logits, column)?;
        let powers = self.g.unary(Unary::Exp, below)?;
        let sum = self.sum(powers)?;
        let log = self.g.unary(Unary::Log, sum)?;
        Ok(self.g.add_values(max, log)?)
    }
}
