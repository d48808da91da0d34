//! The last linear layer of a classifier, whose input scores other than ODIN are computed from.

use crate::op::{Binary, Gemm};
use crate::{Graph, Op, Tensor, ValueId};

/// `logits = features · weightᵀ + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    /// The input of the layer, `[N, D, 1...]`.
    pub features: ValueId,
    /// `[classes, D]`.
    pub weight: Tensor,
    /// `[classes]`.
    pub bias: Tensor,
}

/// Finds the layer that computes the logits of a classifier: a matrix product, a fully connected
/// layer or a 1x1 convolution of a single pixel, followed by additions of constants, multiplications by
/// numbers and reshapes.
///
/// # Errors
/// If the logits are computed by another operator; the text names it.
pub fn linear_head(classifier: &Graph) -> Result<LinearHead, String> {
    let [logits] = classifier.outputs() else {
        return Err("the graph has not one output".to_string());
    };
    linear_head_of(classifier, logits.value)
}

/// The same of any value of a graph, `[N, classes]`.
///
/// # Errors
/// As [`linear_head`].
pub fn linear_head_of(graph: &Graph, logits: ValueId) -> Result<LinearHead, String> {
    let classes = graph.shape(logits).dims().last();
    let Some(classes) = classes.and_then(|dim| dim.fixed()) else {
        return Err("the output has no fixed number of classes".to_string());
    };
    let mut search = Search {
        graph,
        bias: vec![0.0; classes],
        factor: 1.0,
    };
    search.from(logits)
}

/// The search, from the logits backwards.
struct Search<'a> {
    graph: &'a Graph,
    /// The sum of the constants added to the logits so far.
    bias: Vec<f32>,
    /// What the logits are multiplied by further on.
    factor: f32,
}

impl Search<'_> {
    fn from(&mut self, mut value: ValueId) -> Result<LinearHead, String> {
        loop {
            let node = self.graph.node(value);
            let operands = &node.operands[..];
            let refused = || {
                let place = self.graph.describe(value);
                format!("the logits come from {place}, which is no linear layer of its input")
            };
            match (&node.op, operands) {
                (Op::Reshape(_), &[x]) => value = x,
                (Op::Binary(Binary::Add), &[a, b]) => {
                    value = match (self.add(b), self.add(a)) {
                        (true, _) => a,
                        (false, true) => b,
                        (false, false) => return Err(refused()),
                    }
                }
                (Op::Binary(Binary::Mul), &[a, b]) => {
                    value = match self.scale(b) {
                        true => a,
                        false if self.scale(a) => b,
                        false => return Err(refused()),
                    }
                }
                (Op::MatMul, &[x, w]) => {
                    let weight = self.weight(w, true);
                    return self.head(x, weight).ok_or_else(refused);
                }
                (Op::Gemm(gemm), &[x, w, ref c @ ..]) => {
                    return self.gemm(*gemm, x, w, c.first()).ok_or_else(refused);
                }
                (Op::Conv(conv), &[x, w, ref b @ ..]) => {
                    let biased = b.first().is_none_or(|&b| self.add(b));
                    let one_pixel = conv.groups == 1
                        && [x, value].iter().all(|&v| self.is_one_pixel(v))
                        && conv.window.kernel.iter().all(|&k| k == 1);
                    let weight = self.weight(w, false).filter(|_| biased && one_pixel);
                    return self.head(x, weight).ok_or_else(refused);
                }
                _ => return Err(refused()),
            }
        }
    }

    fn gemm(
        &mut self,
        gemm: Gemm,
        x: ValueId,
        w: ValueId,
        c: Option<&ValueId>,
    ) -> Option<LinearHead> {
        let mut weight = self.weight(w, !gemm.trans_b)?;
        weight.iter_mut().for_each(|w| *w *= gemm.alpha);
        let biased = match c {
            Some(&c) => self.add_times(c, gemm.beta),
            None => true,
        };
        self.head(x, Some(weight).filter(|_| biased && !gemm.trans_a))
    }

    /// Adds a constant to the bias; `false` if the value is not a constant that is the same for
    /// every image.
    fn add(&mut self, value: ValueId) -> bool {
        self.add_times(value, 1.0)
    }

    /// Multiplies by a number, as the logit scale of a network that compares with text embeddings;
    /// `false` if the value is none.
    fn scale(&mut self, value: ValueId) -> bool {
        let constant = self.graph.constant_value(value);
        match constant.map(Tensor::data) {
            Some(&[number]) => {
                self.factor *= number;
                true
            }
            _ => false,
        }
    }

    fn add_times(&mut self, value: ValueId, factor: f32) -> bool {
        let Some(constant) = self.graph.constant_value(value) else {
            return false;
        };
        let (data, classes) = (constant.data(), self.bias.len());
        if data.len() != classes && data.len() != 1 {
            return false;
        }
        for (bias, value) in self.bias.iter_mut().zip(data.iter().cycle()) {
            *bias += self.factor * factor * value;
        }
        true
    }

    /// The elements of a constant matrix as `[classes, D]`; `transposed` where it is stored as
    /// `[D, classes]`.
    fn weight(&self, value: ValueId, transposed: bool) -> Option<Vec<f32>> {
        let constant = self.graph.constant_value(value)?;
        let (classes, data) = (self.bias.len(), constant.data());
        let (rows, columns) = match (constant.shape(), transposed) {
            (&[rows, columns], _) => (rows, columns),
            (&[rows, columns, ..], false) if data.len() == rows * columns => (rows, columns),
            _ => return None,
        };
        match transposed {
            false => (rows == classes).then(|| data.to_vec()),
            true => (columns == classes).then(|| {
                let row = |class: usize| (0..rows).map(move |d| data[d * columns + class]);
                (0..classes).flat_map(row).collect()
            }),
        }
    }

    /// The head; `None` if the number of features per image is not the number of columns of the
    /// weight.
    fn head(&mut self, x: ValueId, weight: Option<Vec<f32>>) -> Option<LinearHead> {
        let (mut weight, classes) = (weight?, self.bias.len());
        weight.iter_mut().for_each(|w| *w *= self.factor);
        let extents = self.graph.shape(x).at(1);
        let width = weight.len().checked_div(classes)?;
        let fits = extents.first() == Some(&1) && extents.iter().product::<usize>() == width;
        if !fits {
            return None;
        }
        Some(LinearHead {
            features: x,
            weight: Tensor::new(vec![classes, width], weight).ok()?,
            bias: Tensor::vector(std::mem::take(&mut self.bias)),
        })
    }

    fn is_one_pixel(&self, value: ValueId) -> bool {
        let extents = self.graph.shape(value).at(1);
        extents.iter().skip(2).all(|&extent| extent == 1)
    }
}
