//! One method per operator, for writing graphs by hand.

use crate::op::*;
use crate::{Error, Graph, Op, Shape, Tensor, ValueId};

/// The result of adding a node.
type Added = Result<ValueId, Error>;

/// Each method adds one node (or the few that its name stands for); errors are those of
/// [`Graph::add`].
#[allow(clippy::missing_errors_doc)]
impl Graph {
    /// [`Op::Conv`].
    pub fn conv(
        &mut self,
        x: ValueId,
        w: ValueId,
        bias: Option<ValueId>,
        window: Window,
        groups: usize,
    ) -> Added {
        let operands: Vec<ValueId> = [x, w].into_iter().chain(bias).collect();
        self.add(Op::Conv(Conv { window, groups }), &operands)
    }

    /// [`Op::BatchNorm`]; `parameters` are scale, shift, mean and variance.
    pub fn batch_norm(&mut self, x: ValueId, parameters: [ValueId; 4], epsilon: f32) -> Added {
        let [scale, shift, mean, var] = parameters;
        let operands = [x, scale, shift, mean, var];
        self.add(Op::BatchNorm(BatchNorm { epsilon }), &operands)
    }

    /// [`Op::Relu`].
    pub fn relu(&mut self, x: ValueId) -> Added {
        self.add(Op::Relu, &[x])
    }

    /// [`Op::Unary`].
    pub fn unary(&mut self, unary: Unary, x: ValueId) -> Added {
        self.add(Op::Unary(unary), &[x])
    }

    /// [`Op::MaxPool`].
    pub fn max_pool(&mut self, x: ValueId, window: Window) -> Added {
        self.add(Op::MaxPool(window), &[x])
    }

    /// [`Op::AvgPool`].
    pub fn avg_pool(&mut self, x: ValueId, window: Window, count_padding: bool) -> Added {
        let pool = AvgPool {
            window,
            count_padding,
        };
        self.add(Op::AvgPool(pool), &[x])
    }

    /// Global average pooling, the mean over all spatial axes: `[N, C, spatial...]` to `[N, C,
    /// 1...]`.
    pub fn global_average_pool(&mut self, x: ValueId) -> Added {
        let axes = (2..self.shape(x).rank()).collect();
        self.reduce(x, ReduceKind::Mean, axes, true)
    }

    /// `a + b`.
    pub fn add_values(&mut self, a: ValueId, b: ValueId) -> Added {
        self.add(Op::Binary(Binary::Add), &[a, b])
    }

    /// `a - b`.
    pub fn sub(&mut self, a: ValueId, b: ValueId) -> Added {
        self.add(Op::Binary(Binary::Sub), &[a, b])
    }

    /// `a · b`.
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Added {
        self.add(Op::Binary(Binary::Mul), &[a, b])
    }

    /// `a / b`.
    pub fn div(&mut self, a: ValueId, b: ValueId) -> Added {
        self.add(Op::Binary(Binary::Div), &[a, b])
    }

    /// [`Op::Compare`].
    pub fn compare(&mut self, compare: Compare, a: ValueId, b: ValueId) -> Added {
        self.add(Op::Compare(compare), &[a, b])
    }

    /// [`Op::Where`].
    pub fn select(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> Added {
        self.add(Op::Where, &[condition, a, b])
    }

    /// [`Op::Concat`].
    pub fn concat(&mut self, parts: &[ValueId], axis: usize) -> Added {
        self.add(Op::Concat(Concat { axis }), parts)
    }

    /// [`Op::Slice`].
    pub fn slice(&mut self, x: ValueId, axes: Vec<SliceAxis>) -> Added {
        self.add(Op::Slice(Slice { axes }), &[x])
    }

    /// [`Op::Pad`].
    pub fn pad(&mut self, x: ValueId, axes: Vec<PadAxis>, value: f32) -> Added {
        self.add(Op::Pad(Pad { axes, value }), &[x])
    }

    /// [`Op::Reshape`].
    pub fn reshape(&mut self, x: ValueId, shape: Shape) -> Added {
        self.add(Op::Reshape(shape), &[x])
    }

    /// `[N, rest...]` to `[N, product of rest]`.
    pub fn flatten(&mut self, x: ValueId) -> Added {
        let features = self
            .shape(x)
            .dims()
            .iter()
            .skip(1)
            .map(|d| d.at(1))
            .product();
        self.reshape(x, Shape::batched(&[features]))
    }

    /// [`Op::Expand`].
    pub fn expand(&mut self, x: ValueId, shape: Shape) -> Added {
        self.add(Op::Expand(shape), &[x])
    }

    /// [`Op::MatMul`].
    pub fn mat_mul(&mut self, a: ValueId, b: ValueId) -> Added {
        self.add(Op::MatMul, &[a, b])
    }

    /// A fully connected layer: `x [N, C]`, `w [M, C]`, bias `[M]`, as frameworks store them.
    pub fn linear(&mut self, x: ValueId, w: ValueId, bias: Option<ValueId>) -> Added {
        let gemm = Gemm {
            alpha: 1.0,
            beta: 1.0,
            trans_a: false,
            trans_b: true,
        };
        let operands: Vec<ValueId> = [x, w].into_iter().chain(bias).collect();
        self.add(Op::Gemm(gemm), &operands)
    }

    /// [`Op::Reduce`].
    pub fn reduce(
        &mut self,
        x: ValueId,
        kind: ReduceKind,
        axes: Vec<usize>,
        keep_dims: bool,
    ) -> Added {
        let reduce = Reduce {
            kind,
            axes,
            keep_dims,
        };
        self.add(Op::Reduce(reduce), &[x])
    }

    /// [`Op::Softmax`].
    pub fn softmax(&mut self, x: ValueId, axis: usize) -> Added {
        self.add(Op::Softmax(Axis(axis)), &[x])
    }

    /// [`Op::TopK`].
    pub fn top_k(&mut self, x: ValueId, axis: usize, k: usize) -> Added {
        self.add(Op::TopK(TopK { axis, k }), &[x])
    }

    /// A rank-0 constant.
    pub fn scalar(&mut self, value: f32) -> Added {
        self.constant(Tensor::scalar(value))
    }
}
