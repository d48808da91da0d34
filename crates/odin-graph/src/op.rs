//! The operators. Every one has one output.

use crate::{Shape, Tensor, Type};
use std::ops::Range;

/// What a node computes. Operands are listed with each operator, in order.
///
/// Operators never mix images: an axis that grows with the batch is neither contracted, nor
/// normalised, nor cut. Running a batch therefore equals running its images one at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A value passed at run time. No operands.
    Input(Input),
    /// A constant. No operands.
    Constant(Tensor),
    /// Cross-correlation of `x [N, C, spatial...]` with `w [M, C/groups, kernel...]`, and
    /// optionally a bias `[M]`.
    Conv(Conv),
    /// The adjoint of [`Op::Conv`]: `x [N, C, spatial...]`, `w [C, M/groups, kernel...]`, and
    /// optionally a bias `[M]`.
    ConvTranspose(ConvTranspose),
    /// `(x - mean) / sqrt(var + epsilon) · scale + shift` along axis 1. Operands `x`, `scale`,
    /// `shift`, `mean`, `var`, the last four of shape `[C]`.
    BatchNorm(BatchNorm),
    /// `max(x, 0)`.
    Relu,
    /// An elementwise function.
    Unary(Unary),
    /// The largest value under each window position; padding never wins.
    MaxPool(Window),
    /// The vjp of [`Op::MaxPool`]: operands `x` and the cotangent `dy`. Each `dy` goes to the
    /// first largest element of its window, in row-major order.
    MaxPoolGrad(Window),
    /// The mean under each window position.
    AvgPool(AvgPool),
    /// Elementwise arithmetic with broadcasting.
    Binary(Binary),
    /// Elementwise comparison with broadcasting; gives a mask.
    Compare(Compare),
    /// `condition ? a : b`, elementwise with broadcasting. Operands `condition`, `a`, `b`.
    Where,
    /// Operands concatenated along an axis.
    Concat(Concat),
    /// A slice of `x`.
    Slice(Slice),
    /// `x` padded with a constant.
    Pad(Pad),
    /// A reshape.
    Reshape(Shape),
    /// `x` broadcast to a shape.
    Expand(Shape),
    /// A permutation of axes: axis `i` of the output is axis `perm[i]` of `x`.
    Transpose(Vec<usize>),
    /// `a [..., M, K]` times `b [..., K, L]`, leading axes broadcast.
    MatMul,
    /// `alpha · a' · b' + beta · c` of matrices, `'` being an optional transposition; operands
    /// `a`, `b` and optionally `c`, which is broadcast.
    Gemm(Gemm),
    /// A sum, mean or maximum along axes.
    Reduce(Reduce),
    /// `exp(x) / sum(exp(x))` along an axis.
    Softmax(Axis),
    /// The logarithm of [`Op::Softmax`].
    LogSoftmax(Axis),
    /// The index of the first largest element along an axis, which is dropped.
    ArgMax(Axis),
    /// The largest elements along an axis, in descending order. It has no gradient.
    TopK(TopK),
    /// Indices to rows of 0 and 1: a new innermost axis of this extent, 1 at the index.
    OneHot(usize),
}

impl Op {
    /// The name of the operator, as in ONNX where ONNX has it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "Input",
            Op::Constant(_) => "Constant",
            Op::Conv(_) => "Conv",
            Op::ConvTranspose(_) => "ConvTranspose",
            Op::BatchNorm(_) => "BatchNormalization",
            Op::Relu => "Relu",
            Op::Unary(Unary::Clip { .. }) => "Clip",
            Op::Unary(Unary::Cos) => "Cos",
            Op::Unary(Unary::Erf) => "Erf",
            Op::Unary(Unary::Exp) => "Exp",
            Op::Unary(Unary::Log) => "Log",
            Op::Unary(Unary::Sigmoid) => "Sigmoid",
            Op::Unary(Unary::Sin) => "Sin",
            Op::Unary(Unary::Softplus) => "Softplus",
            Op::Unary(Unary::Sqrt) => "Sqrt",
            Op::Unary(Unary::Tanh) => "Tanh",
            Op::MaxPool(_) => "MaxPool",
            Op::MaxPoolGrad(_) => "MaxPoolGrad",
            Op::AvgPool(_) => "AveragePool",
            Op::Binary(Binary::Add) => "Add",
            Op::Binary(Binary::Sub) => "Sub",
            Op::Binary(Binary::Mul) => "Mul",
            Op::Binary(Binary::Div) => "Div",
            Op::Binary(Binary::Pow) => "Pow",
            Op::Binary(Binary::Max) => "Max",
            Op::Binary(Binary::Min) => "Min",
            Op::Compare(Compare::Greater) => "Greater",
            Op::Compare(Compare::GreaterOrEqual) => "GreaterOrEqual",
            Op::Where => "Where",
            Op::Concat(_) => "Concat",
            Op::Slice(_) => "Slice",
            Op::Pad(_) => "Pad",
            Op::Reshape(_) => "Reshape",
            Op::Expand(_) => "Expand",
            Op::Transpose(_) => "Transpose",
            Op::MatMul => "MatMul",
            Op::Gemm(_) => "Gemm",
            Op::Reduce(r) => match r.kind {
                ReduceKind::Sum => "ReduceSum",
                ReduceKind::Mean => "ReduceMean",
                ReduceKind::Max => "ReduceMax",
            },
            Op::Softmax(_) => "Softmax",
            Op::LogSoftmax(_) => "LogSoftmax",
            Op::ArgMax(_) => "ArgMax",
            Op::TopK(_) => "TopK",
            Op::OneHot(_) => "OneHot",
        }
    }
}

/// See [`Op::Input`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The name under which a run passes the value.
    pub name: String,
    /// Element type and shape.
    pub ty: Type,
}

/// A window that slides over the spatial axes. All fields have one entry per spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Extent.
    pub kernel: Vec<usize>,
    /// Distance between positions.
    pub strides: Vec<usize>,
    /// Distance between neighbouring elements inside the window.
    pub dilations: Vec<usize>,
    /// Padding before the first element.
    pub pads_begin: Vec<usize>,
    /// Padding after the last element.
    pub pads_end: Vec<usize>,
}

impl Window {
    /// A dense window of stride 1 without padding.
    pub fn new(kernel: &[usize]) -> Self {
        let axes = kernel.len();
        Self {
            kernel: kernel.to_vec(),
            strides: vec![1; axes],
            dilations: vec![1; axes],
            pads_begin: vec![0; axes],
            pads_end: vec![0; axes],
        }
    }

    /// The same stride on every axis.
    pub fn stride(mut self, stride: usize) -> Self {
        self.strides.fill(stride);
        self
    }

    /// The same padding on every side.
    pub fn pad(mut self, pad: usize) -> Self {
        self.pads_begin.fill(pad);
        self.pads_end.fill(pad);
        self
    }

    /// The same dilation on every axis.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilations.fill(dilation);
        self
    }

    /// The number of spatial axes.
    pub fn axes(&self) -> usize {
        self.kernel.len()
    }

    /// How far the window reaches along an axis: `dilation · (kernel - 1) + 1`; `None` when
    /// that overflows.
    pub(crate) fn reach(&self, axis: usize) -> Option<usize> {
        let gaps = self.kernel[axis].checked_sub(1)?;
        gaps.checked_mul(self.dilations[axis])?.checked_add(1)
    }

    /// The entries of the window that read the input rather than padding, along an axis of the
    /// input of this extent, at a position.
    pub(crate) fn taps_inside(&self, axis: usize, position: usize, input: usize) -> Range<usize> {
        let from = |element: usize| {
            let distance = element.saturating_add(self.pads_begin[axis]);
            let distance = distance.saturating_sub(position * self.strides[axis]);
            distance
                .div_ceil(self.dilations[axis])
                .min(self.kernel[axis])
        };
        from(0)..from(input)
    }

    /// The number of positions along `axis` of an input of this extent; `None` when the
    /// padded input is smaller than the window.
    pub fn output_extent(&self, axis: usize, input: usize) -> Option<usize> {
        let padded = input
            .checked_add(self.pads_begin[axis])?
            .checked_add(self.pads_end[axis])?;
        Some(padded.checked_sub(self.reach(axis)?)? / self.strides[axis] + 1)
    }
}

/// See [`Op::Conv`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// The window; its kernel is that of the weights.
    pub window: Window,
    /// Channels are split into this many groups that are convolved separately.
    pub groups: usize,
}

/// See [`Op::ConvTranspose`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvTranspose {
    /// The window of the convolution that this is the adjoint of.
    pub window: Window,
    /// Entries at the end of each spatial axis that no window position covers.
    pub output_padding: Vec<usize>,
    /// Channels are split into this many groups that are convolved separately.
    pub groups: usize,
}

impl ConvTranspose {
    /// The output's extent along a spatial axis; `None` if the padding removes all entries that a
    /// window position covers.
    pub fn output_extent(&self, axis: usize, input: usize) -> Option<usize> {
        let w = &self.window;
        w.strides[axis]
            .checked_mul(input.checked_sub(1)?)?
            .checked_add(w.reach(axis)?)?
            .checked_sub(w.pads_begin[axis])
            .filter(|&determined| determined > 0)?
            .checked_add(self.output_padding[axis])?
            .checked_sub(w.pads_end[axis])
            .filter(|&extent| extent > 0)
    }
}

/// See [`Op::BatchNorm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f32,
}

/// See [`Op::AvgPool`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvgPool {
    /// The window.
    pub window: Window,
    /// Whether padding counts in the divisor.
    pub count_padding: bool,
}

/// See [`Op::Unary`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// `min(max(x, min), max)`; either bound may be infinite.
    Clip {
        /// The smallest result.
        min: f32,
        /// The largest result.
        max: f32,
    },
    /// The cosine.
    Cos,
    /// The error function, `2/sqrt(π) · ∫ exp(-t²) dt` from 0 to x.
    Erf,
    /// `exp(x)`.
    Exp,
    /// The natural logarithm.
    Log,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The sine.
    Sin,
    /// `log(1 + exp(x))`.
    Softplus,
    /// The square root.
    Sqrt,
    /// The hyperbolic tangent.
    Tanh,
}

/// See [`Op::Binary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`.
    Div,
    /// `a` to the power of `b`.
    Pow,
    /// The larger of the two.
    Max,
    /// The smaller of the two.
    Min,
}

/// See [`Op::Compare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `a > b`.
    Greater,
    /// `a >= b`.
    GreaterOrEqual,
}

/// See [`Op::Concat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// The axis along which the operands follow each other.
    pub axis: usize,
}

/// See [`Op::Slice`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// What to keep of each axis named; the others are kept whole.
    pub axes: Vec<SliceAxis>,
}

/// Every `step`-th entry of `start..end` along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceAxis {
    /// The axis.
    pub axis: usize,
    /// The first entry.
    pub start: usize,
    /// One past the last candidate.
    pub end: usize,
    /// The distance between entries.
    pub step: usize,
}

impl SliceAxis {
    /// The number of entries kept.
    pub fn extent(&self) -> usize {
        self.end.saturating_sub(self.start).div_ceil(self.step)
    }
}

/// See [`Op::Pad`].
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// The padding of each axis named; the others have none.
    pub axes: Vec<PadAxis>,
    /// The value of the padding.
    pub value: f32,
}

/// The padding along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PadAxis {
    /// The axis.
    pub axis: usize,
    /// Entries before the first.
    pub before: usize,
    /// Entries after the last.
    pub after: usize,
}

/// See [`Op::Gemm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of `c`.
    pub beta: f32,
    /// Whether `a` is stored transposed.
    pub trans_a: bool,
    /// Whether `b` is stored transposed.
    pub trans_b: bool,
}

/// See [`Op::Reduce`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduce {
    /// The operator.
    pub kind: ReduceKind,
    /// The reduced axes, ascending.
    pub axes: Vec<usize>,
    /// Whether reduced axes are kept with extent 1.
    pub keep_dims: bool,
}

/// See [`Op::Reduce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceKind {
    /// The sum.
    Sum,
    /// The arithmetic mean.
    Mean,
    /// The maximum.
    Max,
}

/// See [`Op::TopK`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK {
    /// The axis.
    pub axis: usize,
    /// How many elements are kept, from 1 to the extent of the axis.
    pub k: usize,
}

/// The axis that an operator works along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis(pub usize);
