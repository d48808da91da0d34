//! The ONNX form of every graph operator.

use super::encoder::Encoder;
use super::form::Form;
use crate::Error;
use odin_graph::op::*;
use odin_graph::{Dim, Op, Shape, ValueId};

impl Encoder<'_> {
    /// The form of the node of a value; `name` begins the names of what it needs beside it.
    pub(super) fn form(&mut self, value: ValueId, name: &str) -> Result<Form, Error> {
        let graph = self.graph;
        let node = graph.node(value);
        let mut form = Form::new(node.op.name());
        for position in 0..node.operands.len() {
            form = form.input(self.operand(value, position));
        }
        Ok(match &node.op {
            Op::Conv(conv) => form.window(&conv.window).int("group", conv.groups as i64),
            Op::ConvTranspose(conv) => self.conv_transpose(value, form, conv, name),
            Op::BatchNorm(norm) => form.float("epsilon", norm.epsilon),
            Op::MaxPool(window) => form.window(window),
            Op::AvgPool(pool) if pool.window.dilations.iter().all(|&d| d == 1) => form
                .dense_window(&pool.window)
                .int("count_include_pad", pool.count_padding.into()),
            Op::AvgPool(_) => {
                return Err(self.no_form(value, "a mean pool with dilations"));
            }
            Op::MaxPoolGrad(_) => {
                return Err(self.no_form(value, "the gradient of a maximum pool"));
            }
            Op::Unary(Unary::Clip { min, max }) => {
                let lower = self.bound(*min, value);
                let upper = self.bound(*max, value);
                form.input(lower).input(upper)
            }
            Op::Relu | Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Where | Op::MatMul => {
                form
            }
            Op::Concat(concat) => form.int("axis", concat.axis as i64),
            Op::Slice(slice) => self.slice(form, slice, name),
            Op::Pad(pad) => self.pad(form, pad, value, name),
            Op::Reshape(to) => {
                let from = graph.shape(node.operands[0]);
                if to.dims().contains(&Dim::Fixed(0)) {
                    return Err(self.no_form(value, "a shape without elements"));
                }
                let target = reshape_target(from, to);
                form.input(self.integers(&target, &format!("{name}/shape")))
            }
            Op::Expand(to) => {
                let target = self.expand_target(value, to, name)?;
                form.input(target)
            }
            Op::Transpose(perm) => form.ints("perm", perm.iter().copied()),
            Op::Gemm(gemm) => form
                .float("alpha", gemm.alpha)
                .float("beta", gemm.beta)
                .int("transA", gemm.trans_a.into())
                .int("transB", gemm.trans_b.into()),
            Op::Reduce(reduce) => self.reduce(form, reduce, name),
            Op::Softmax(Axis(axis)) | Op::LogSoftmax(Axis(axis)) => form.int("axis", *axis as i64),
            Op::ArgMax(Axis(axis)) => form.int("axis", *axis as i64).int("keepdims", 0),
            Op::TopK(top) => form
                .input(self.integers(&[top.k as i64], &format!("{name}/k")))
                .int("axis", top.axis as i64)
                .unread_output("indices"),
            Op::OneHot(depth) => {
                let depth = self.integers(&[*depth as i64], &format!("{name}/depth"));
                let off_and_on = self.numbers(&[0.0, 1.0], "off_and_on");
                form.input(depth).input(off_and_on).int("axis", -1)
            }
            Op::Input(_) | Op::Constant(_) => {
                return Err(self.no_form(value, "a value that is not computed"));
            }
        })
    }

    fn no_form(&self, value: ValueId, what: &str) -> Error {
        let place = self.graph.describe(value);
        Error::unsupported(format!("{place}: {what} cannot be written to an ONNX file"))
    }

    /// An operand is left out by an empty name.
    fn bound(&mut self, bound: f32, reader: ValueId) -> String {
        match bound.is_finite() {
            true => self.number_for(bound, reader),
            false => String::new(),
        }
    }

    fn slice(&mut self, form: Form, slice: &Slice, name: &str) -> Form {
        if slice.axes.is_empty() {
            return form.operator("Identity");
        }
        let lists = |cut: &SliceAxis| [cut.start, cut.end, cut.axis, cut.step];
        let fields = ["starts", "ends", "axes", "steps"].into_iter().enumerate();
        fields.fold(form, |form, (i, field)| {
            let list: Vec<i64> = slice.axes.iter().map(|cut| lists(cut)[i] as i64).collect();
            form.input(self.integers(&list, &format!("{name}/{field}")))
        })
    }

    /// A number in the type that a node computes in.
    fn number_for(&mut self, number: f32, reader: ValueId) -> String {
        let name = self.number(number);
        self.typed(name, false, reader)
    }

    fn pad(&mut self, form: Form, pad: &Pad, value: ValueId, name: &str) -> Form {
        let rank = self.graph.shape(value).rank();
        let mut pads = vec![0; 2 * rank];
        for border in &pad.axes {
            pads[border.axis] = border.before as i64;
            pads[border.axis + rank] = border.after as i64;
        }
        let pads = self.integers(&pads, &format!("{name}/pads"));
        let border = self.number_for(pad.value, value);
        form.input(pads).input(border)
    }

    /// Up to this operator set only sums take their axes as an operand. No axes mean all in
    /// ONNX, none in a graph.
    fn reduce(&mut self, form: Form, reduce: &Reduce, name: &str) -> Form {
        if reduce.axes.is_empty() {
            return form.operator("Identity");
        }
        let form = match reduce.kind {
            ReduceKind::Sum => {
                let axes: Vec<i64> = reduce.axes.iter().map(|&a| a as i64).collect();
                form.input(self.integers(&axes, &format!("{name}/axes")))
            }
            ReduceKind::Mean | ReduceKind::Max => form.ints("axes", reduce.axes.iter().copied()),
        };
        form.int("keepdims", reduce.keep_dims.into())
    }

    /// The name of the shape to repeat an operand to. An axis of the batch that the operand has
    /// itself needs no extent: 1 keeps it. Any other is known only at run time.
    fn expand_target(&mut self, value: ValueId, to: &Shape, name: &str) -> Result<String, Error> {
        let from = self.graph.shape(self.graph.node(value).operands[0]);
        let lead = to.rank() - from.rank();
        let own = |axis: usize| axis.checked_sub(lead).map(|axis| from.dims()[axis]);
        let mut extents = Vec::new();
        let mut unknown = None;
        for (axis, &dim) in to.dims().iter().enumerate() {
            extents.push(match dim {
                Dim::Fixed(k) => k as i64,
                Dim::PerImage(k) => {
                    unknown = (own(axis) != Some(dim)).then_some((axis, k as i64));
                    1
                }
            });
        }
        let Some((axis, per_image)) = unknown else {
            return Ok(self.integers(&extents, &format!("{name}/shape")));
        };
        let Some(images) = self.batch_size() else {
            return Err(self.no_form(value, "a batch in a graph whose inputs have none"));
        };
        let per_image = self.integers(&[per_image], &format!("{name}/per_image"));
        let along = Form::new("Mul").input(images).input(per_image);
        let along = self.add(along, &format!("{name}/Mul"));
        let mut shape = Form::new("Concat").int("axis", 0);
        if axis > 0 {
            shape = shape.input(self.integers(&extents[..axis], &format!("{name}/before")));
        }
        shape = shape.input(along);
        if axis + 1 < extents.len() {
            shape = shape.input(self.integers(&extents[axis + 1..], &format!("{name}/after")));
        }
        Ok(self.add(shape, &format!("{name}/Concat")))
    }
}

/// In ONNX 0 keeps the extent of the same axis, -1 is whatever is left.
fn reshape_target(from: &Shape, to: &Shape) -> Vec<i64> {
    let extents = to.dims().iter().enumerate().map(|(axis, &dim)| match dim {
        Dim::Fixed(k) => k as i64,
        Dim::PerImage(_) if from.dims().get(axis) == Some(&dim) => 0,
        Dim::PerImage(_) => -1,
    });
    extents.collect()
}
