//! Kernel selection: the kernels that compute a group.

use super::fusion::{Group, Kind};
use super::memory::MemoryPlan;
use crate::shader::{
    self, Expression, Home, Instruction, Kernel, Leaf, Operand, Padding, Place, is_elementwise,
};
use crate::{Error, ErrorKind};
use odin_graph::op::{self, Axis};
use odin_graph::{Graph, Op, Tensor, ValueId};
use odin_lower::{StridedView, View, row_major};

/// What selection looks at.
pub(super) struct Selector<'a> {
    pub(super) graph: &'a Graph,
    pub(super) strided: &'a [StridedView],
    pub(super) memory: &'a MemoryPlan<'a>,
}

impl Selector<'_> {
    /// The kernels of a group, mostly one.
    pub(super) fn kernels(&self, group: &Group) -> Result<Vec<Kernel>, Error> {
        let output = self.output(group.value)?;
        match group.kind {
            Kind::Elementwise => {
                let expression = self.expression(&group.epilogue, None)?;
                Ok(vec![shader::elementwise(&expression, output)])
            }
            Kind::Copy(v) => {
                let strides = row_major(&self.extents(v));
                Ok(vec![shader::copy(&self.strided(v)?, output, &strides)])
            }
            Kind::Node(v) => self.node(group, v, output),
        }
    }

    fn node(&self, group: &Group, v: ValueId, output: Place) -> Result<Vec<Kernel>, Error> {
        let node = self.graph.node(v);
        let shape = self.extents(v);
        let x = node.operands.first().copied().unwrap_or(v);
        let kernel = match &node.op {
            Op::Conv(_) | Op::ConvTranspose(_) => return self.convolution(group, v, output),
            Op::MatMul | Op::Gemm(_) => return Ok(vec![self.matrix_product(group, v, output)?]),
            Op::Concat(concat) => return self.concat(v, concat.axis, output),
            Op::MaxPool(window) => shader::max_pool(window, &self.contiguous(x)?, &shape, output),
            Op::MaxPoolGrad(window) => {
                let dy = self.contiguous(node.operands[1])?;
                shader::max_pool_grad(window, &self.contiguous(x)?, &dy, output)
            }
            Op::AvgPool(pool) => shader::avg_pool(pool, &self.contiguous(x)?, &shape, output),
            Op::Pad(pad) => self.pad(pad, x, &shape, output)?,
            Op::Reduce(reduce) => {
                let x = match group.prologue.is_empty() {
                    true => Expression::operand(self.strided(x)?),
                    false => self.expression(&group.prologue, None)?,
                };
                shader::reduce(reduce, &x, output)
            }
            Op::Softmax(Axis(axis)) => shader::softmax(&self.strided(x)?, *axis, false, output),
            Op::LogSoftmax(Axis(axis)) => shader::softmax(&self.strided(x)?, *axis, true, output),
            Op::ArgMax(Axis(axis)) => shader::arg_max(&self.strided(x)?, *axis, output),
            Op::TopK(top) => shader::top_k(&self.strided(x)?, top.axis, top.k, output),
            Op::OneHot(depth) => shader::one_hot(&self.strided(x)?, *depth, output),
            _ => return Err(self.internal(v)),
        };
        Ok(vec![kernel])
    }

    /// Copies of the operands that are not computed inside of the result.
    fn concat(&self, v: ValueId, axis: usize, output: Place) -> Result<Vec<Kernel>, Error> {
        let strides = row_major(&self.extents(v));
        let is_outermost = self.extents(v)[..axis].iter().product::<usize>() == 1;
        let mut kernels = Vec::new();
        let mut first = 0;
        for &part in &self.graph.node(v).operands {
            let offset = first * strides[axis];
            first += self.extents(part)[axis];
            if is_outermost && self.memory.is_inside(part, v, offset) {
                continue;
            }
            let to = Place {
                offset: output.offset + offset,
                ..output
            };
            kernels.push(shader::copy(&self.strided(part)?, to, &strides));
        }
        Ok(kernels)
    }

    fn pad(
        &self,
        pad: &op::Pad,
        x: ValueId,
        shape: &[usize],
        output: Place,
    ) -> Result<Kernel, Error> {
        let mut before = vec![0; shape.len()];
        for axis in &pad.axes {
            before[axis.axis] = axis.before;
        }
        let padding = Padding {
            shape,
            before: &before,
            value: pad.value,
        };
        Ok(shader::pad(&self.strided(x)?, &padding, output))
    }

    /// Elementwise nodes as an expression; `computed` is the value that the kernel gives it.
    pub(super) fn expression(
        &self,
        nodes: &[ValueId],
        computed: Option<ValueId>,
    ) -> Result<Expression, Error> {
        let mut builder = Builder {
            selector: self,
            computed,
            leaves: Vec::new(),
            known: Vec::new(),
        };
        let mut instructions = Vec::new();
        for &v in nodes {
            let from = builder.operands(v)?;
            instructions.push((v, from));
            builder
                .known
                .push((v, Source::Result(instructions.len() - 1)));
        }
        let value = *nodes
            .last()
            .ok_or_else(|| self.internal_of("no operator"))?;
        let leaves = builder.leaves.len();
        let number = |source: &Source| match source {
            Source::Leaf(n) => *n,
            Source::Result(n) => leaves + n,
        };
        let instructions = instructions.iter().map(|(v, from)| Instruction {
            op: self.graph.node(*v).op.clone(),
            from: from.iter().map(number).collect(),
        });
        Ok(Expression {
            shape: self.extents(value),
            dtype: self.graph.ty(value).dtype,
            instructions: instructions.collect(),
            leaves: builder.leaves,
        })
    }

    /// The expressions that a product applies to its results: `first`, if it is one, and the
    /// epilogue.
    pub(super) fn then(
        &self,
        group: &Group,
        v: ValueId,
        first: Option<Expression>,
    ) -> Result<Vec<Expression>, Error> {
        let mut then: Vec<Expression> = first.into_iter().collect();
        if !group.epilogue.is_empty() {
            then.push(self.expression(&group.epilogue, Some(v))?);
        }
        Ok(then)
    }

    pub(super) fn extents(&self, v: ValueId) -> Vec<usize> {
        self.graph.shape(v).at(1)
    }

    /// An operand by its strides.
    pub(super) fn strided(&self, v: ValueId) -> Result<Operand, Error> {
        let StridedView {
            base,
            first,
            strides,
        } = &self.strided[v.index()];
        self.operand(v, self.memory.of(*base), *first, strides.clone())
    }

    /// An operand that is one contiguous part of memory.
    pub(super) fn contiguous(&self, v: ValueId) -> Result<Operand, Error> {
        self.operand(v, self.memory.of(v), 0, row_major(&self.extents(v)))
    }

    fn operand(
        &self,
        v: ValueId,
        view: View,
        first: usize,
        strides: Vec<usize>,
    ) -> Result<Operand, Error> {
        let home = match self.graph.constant_value(view.root) {
            Some(tensor) => Home::Constant(tensor.clone(), view.offset + first),
            None => {
                let place = self.memory.place(view, first);
                Home::Arena(place.ok_or_else(|| self.internal(v))?)
            }
        };
        let shape = self.extents(v);
        // The stride of an axis of one element is arbitrary, and may be more than 32 bits hold.
        let strides = shape.iter().zip(strides);
        let strides = strides.map(|(&extent, stride)| if extent == 1 { 0 } else { stride });
        Ok(Operand {
            home,
            dtype: self.graph.ty(v).dtype,
            strides: strides.collect(),
            shape,
        })
    }

    fn output(&self, v: ValueId) -> Result<Place, Error> {
        let place = self.memory.place(self.memory.of(v), 0);
        place.ok_or_else(|| self.internal(v))
    }

    /// An error that a correct lowering does not make.
    pub(super) fn internal(&self, v: ValueId) -> Error {
        self.internal_of(&self.graph.describe(v))
    }

    fn internal_of(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::UnsupportedGraph,
            format!("{what} has no kernel on the GPU; please report this, and use the device cpu"),
        )
    }
}

/// An expression in the making.
struct Builder<'a> {
    selector: &'a Selector<'a>,
    computed: Option<ValueId>,
    leaves: Vec<Leaf>,
    known: Vec<(ValueId, Source)>,
}

/// Where an instruction's operand comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Leaf(usize),
    Result(usize),
}

impl Builder<'_> {
    /// The operands of a node.
    fn operands(&mut self, v: ValueId) -> Result<Vec<Source>, Error> {
        let node = self.selector.graph.node(v);
        debug_assert!(is_elementwise(&node.op));
        let Op::BatchNorm(norm) = &node.op else {
            return node.operands.iter().map(|&x| self.source(x)).collect();
        };
        let x = self.source(node.operands[0])?;
        let rank = self.selector.extents(v).len();
        let mut sources = vec![x];
        if let Some(affine) = self.affine(norm, &node.operands[1..]) {
            for data in affine {
                let home = Home::Constant(Tensor::vector(data), 0);
                sources.push(self.per_channel(home, rank, 1, v));
            }
            return Ok(sources);
        }
        for &parameter in &node.operands[1..] {
            let operand = self.selector.strided(parameter)?;
            let stride = operand.strides[0];
            sources.push(self.per_channel(operand.home, rank, stride, v));
        }
        Ok(sources)
    }

    /// A vector along axis 1 as a leaf.
    fn per_channel(&mut self, home: Home, rank: usize, stride: usize, v: ValueId) -> Source {
        let (mut shape, mut strides) = (vec![1; rank], vec![0; rank]);
        (shape[1], strides[1]) = (self.selector.extents(v)[1], stride);
        self.leaf(Leaf::Operand(Operand {
            home,
            dtype: odin_graph::DType::Float,
            shape,
            strides,
        }))
    }

    /// The scale and shift of a batch normalisation whose statistics are constants.
    fn affine(&self, norm: &op::BatchNorm, parameters: &[ValueId]) -> Option<[Vec<f32>; 2]> {
        let graph = self.selector.graph;
        let constant = |i: usize| graph.constant_value(parameters[i]).map(Tensor::data);
        let all = [constant(0)?, constant(1)?, constant(2)?, constant(3)?];
        let channel = |c: usize| {
            let [scale, shift, mean, var] = all.map(|p| f64::from(p[c]));
            let factor = scale / (var + f64::from(norm.epsilon)).sqrt();
            (factor as f32, (shift - mean * factor) as f32)
        };
        let (scale, shift) = (0..all[0].len()).map(channel).unzip();
        Some([scale, shift])
    }

    fn source(&mut self, x: ValueId) -> Result<Source, Error> {
        if let Some((_, source)) = self.known.iter().find(|(v, _)| *v == x) {
            return Ok(*source);
        }
        let leaf = match self.computed == Some(x) {
            true => Leaf::Computed,
            false => Leaf::Operand(self.selector.strided(x)?),
        };
        let source = self.leaf(leaf);
        self.known.push((x, source));
        Ok(source)
    }

    fn leaf(&mut self, leaf: Leaf) -> Source {
        self.leaves.push(leaf);
        Source::Leaf(self.leaves.len() - 1)
    }
}
