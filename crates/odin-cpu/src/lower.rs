//! From a graph to a list of steps for one image.

use crate::batch::Layout;
use crate::buffers::{self, Placed};
use crate::kernels::AnyKernel;
use crate::kernels::{conv, elementwise, pool, product, reduce, shape};
use crate::workspace::{Sizes, Source};
use crate::{Error, ErrorKind};
use odin_graph::op::Axis;
use odin_graph::{DType, Graph, Op, Tensor, ValueId};

/// What has to be done for each image.
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Port>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<(Port, Source)>,
    pub(crate) sizes: Sizes,
}

/// An input or output of the graph.
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) layout: Layout,
}

/// One kernel, the places of its operands and the one of its output.
pub(crate) struct Step {
    pub(crate) kernel: AnyKernel,
    pub(crate) operands: Vec<Source>,
    /// A buffer among those of the kernel's type.
    pub(crate) buffer: usize,
    pub(crate) len: usize,
}

/// A step before its values have buffers.
pub(crate) struct Draft {
    pub(crate) kernel: AnyKernel,
    pub(crate) operands: Vec<Operand>,
    pub(crate) value: ValueId,
}

pub(crate) enum Operand {
    Constant(Tensor),
    Value(ValueId),
}

pub(crate) fn lower(graph: &Graph) -> Result<Plan, Error> {
    let lowering = Lowering::new(graph)?;
    let drafts = lowering.drafts()?;
    let wanted: Vec<Operand> = graph
        .outputs()
        .iter()
        .map(|o| lowering.operand(o.value))
        .collect();
    let Placed {
        steps,
        wanted,
        sizes,
    } = buffers::place(graph, drafts, wanted);
    let outputs = graph
        .outputs()
        .iter()
        .map(|o| port(graph, &o.name, o.value));
    Ok(Plan {
        inputs: graph
            .inputs()
            .map(|(v, input)| port(graph, &input.name, v))
            .collect(),
        steps,
        outputs: outputs.zip(wanted).collect(),
        sizes,
    })
}

fn port(graph: &Graph, name: &str, value: ValueId) -> Port {
    let ty = graph.ty(value);
    Port {
        name: name.to_string(),
        dtype: ty.dtype,
        layout: Layout::new(&ty.shape),
    }
}

struct Lowering<'a> {
    graph: &'a Graph,
    /// For each value, how often it is used for what the graph is asked for.
    uses: Vec<usize>,
    /// For each value, the one that it is another shape of.
    roots: Vec<ValueId>,
    /// For each value, whether it is computed together with the ReLU that follows.
    merged: Vec<bool>,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph) -> Result<Self, Error> {
        let mut uses = vec![0; graph.nodes().len()];
        graph
            .outputs()
            .iter()
            .for_each(|o| uses[o.value.index()] += 1);
        for (i, node) in graph.nodes().iter().enumerate().rev() {
            if uses[i] > 0 {
                node.operands.iter().for_each(|x| uses[x.index()] += 1);
            }
        }
        let mut roots: Vec<ValueId> = graph.values().collect();
        for v in graph.values() {
            if let Op::Reshape(_) = graph.node(v).op {
                let x = graph.node(v).operands[0];
                keeps_images_apart(graph, x, v)?;
                roots[v.index()] = roots[x.index()];
            }
        }
        let merged = Self::merged(graph, &uses);
        Ok(Self {
            graph,
            uses,
            roots,
            merged,
        })
    }

    fn operand(&self, value: ValueId) -> Operand {
        let root = self.roots[value.index()];
        match self.graph.constant_value(root) {
            Some(tensor) => Operand::Constant(tensor.clone()),
            None => Operand::Value(root),
        }
    }

    /// The steps in order. A comparison comes directly after its operands, so that an activation
    /// may go as soon as its mask is taken.
    fn drafts(&self) -> Result<Vec<Draft>, Error> {
        let needed = |v: &ValueId| self.uses[v.index()] > 0;
        let mut followers: Vec<Vec<ValueId>> = vec![Vec::new(); self.uses.len()];
        let mut drafts = Vec::new();
        for v in self.graph.values().filter(needed) {
            if let (Op::Compare(_), Some(last)) = (&self.graph.node(v).op, self.last_operand(v)) {
                followers[last.index()].push(v);
            }
        }
        for v in self.graph.values().filter(needed) {
            let moved = matches!(self.graph.node(v).op, Op::Compare(_));
            if !moved || self.last_operand(v).is_none() {
                drafts.extend(self.draft(v)?);
            }
            for &follower in &followers[v.index()] {
                drafts.extend(self.draft(follower)?);
            }
        }
        Ok(drafts)
    }

    /// The latest operand that is not a constant.
    fn last_operand(&self, v: ValueId) -> Option<ValueId> {
        let operands = self.graph.node(v).operands.iter().copied();
        operands
            .filter(|&x| self.graph.constant_value(x).is_none())
            .max()
    }

    /// For each value, whether it is a batch normalisation that nothing but one ReLU uses.
    fn merged(graph: &Graph, uses: &[usize]) -> Vec<bool> {
        let mut merged = vec![false; uses.len()];
        for (node, _) in graph
            .nodes()
            .iter()
            .zip(uses)
            .filter(|(node, uses)| **uses > 0 && node.op == Op::Relu)
        {
            let x = node.operands[0];
            let is_norm = matches!(graph.node(x).op, Op::BatchNorm(_));
            merged[x.index()] = is_norm && uses[x.index()] == 1;
        }
        merged
    }

    /// The step for a value; none for those that are there already, or come with a later one.
    fn draft(&self, v: ValueId) -> Result<Option<Draft>, Error> {
        let node = self.graph.node(v);
        let mut operands: Vec<Operand> = node.operands.iter().map(|&x| self.operand(x)).collect();
        let kernel = match &node.op {
            Op::Constant(_) | Op::Reshape(_) => return Ok(None),
            Op::BatchNorm(_) if self.merged[v.index()] => return Ok(None),
            Op::Relu if self.merged[node.operands[0].index()] => {
                let norm = node.operands[0];
                let x = &self.graph.node(norm).operands;
                operands = x.iter().map(|&x| self.operand(x)).collect();
                let mut kernel = self.batch_norm(norm);
                kernel.relu = true;
                AnyKernel::float(kernel)
            }
            Op::BatchNorm(_) => AnyKernel::float(self.batch_norm(v)),
            Op::ConvTranspose(transpose) => match &operands[1] {
                Operand::Constant(w) if let Some((conv, w)) = conv::as_conv(transpose, w) => {
                    operands[1] = Operand::Constant(w);
                    let [x, y] = [node.operands[0], v].map(|v| self.extents(v));
                    AnyKernel::float(conv::Conv::new(&conv, &x, &y))
                }
                _ => self.kernel(v)?,
            },
            _ => self.kernel(v)?,
        };
        let value = v;
        Ok(Some(Draft {
            kernel,
            operands,
            value,
        }))
    }

    fn extents(&self, v: ValueId) -> Vec<usize> {
        self.graph.shape(v).at(1)
    }

    fn batch_norm(&self, v: ValueId) -> elementwise::BatchNorm {
        let node = self.graph.node(v);
        let Op::BatchNorm(norm) = &node.op else {
            unreachable!("only called for batch normalisations");
        };
        let known = |i: usize| {
            self.graph
                .constant_value(node.operands[i])
                .map(|t| t.data())
        };
        let parameters = (|| Some([known(1)?, known(2)?, known(3)?, known(4)?]))();
        elementwise::BatchNorm::new(norm, &self.extents(node.operands[0]), parameters)
    }

    /// The kernel of a single node.
    fn kernel(&self, v: ValueId) -> Result<AnyKernel, Error> {
        let node = self.graph.node(v);
        let y = &self.extents(v);
        let shapes: Vec<Vec<usize>> = node.operands.iter().map(|&x| self.extents(x)).collect();
        let x = |i: usize| &shapes[i][..];
        Ok(match &node.op {
            Op::Input(input) if input.ty.dtype != DType::Float => {
                let reason = format!("the input {:?} is {}, not float", input.name, input.ty);
                return Err(Error::new(ErrorKind::UnsupportedGraph, reason));
            }
            Op::Input(_) => AnyKernel::float(shape::Load {
                input: self
                    .graph
                    .inputs()
                    .take_while(|&(other, _)| other != v)
                    .count(),
                layout: Layout::new(&node.ty.shape),
            }),
            Op::Conv(op) => AnyKernel::float(conv::Conv::new(op, x(0), y)),
            Op::ConvTranspose(op) => AnyKernel::float(conv::ConvTranspose::new(op, x(0), y)),
            Op::BatchNorm(_) => AnyKernel::float(self.batch_norm(v)),
            Op::Relu => AnyKernel::float(elementwise::Relu),
            Op::Unary(op) => AnyKernel::float(elementwise::Unary(*op)),
            Op::MaxPool(w) => AnyKernel::float(pool::MaxPool::new(w, x(0), y)),
            Op::MaxPoolGrad(w) => AnyKernel::float(pool::MaxPoolGrad::new(w, x(0), x(1))),
            Op::AvgPool(op) => AnyKernel::float(pool::AvgPool::new(op, x(0), y)),
            Op::Binary(op) => AnyKernel::float(elementwise::Zip::new(*op, x(0), x(1), y)),
            Op::Compare(op) => AnyKernel::bool(elementwise::Zip::new(*op, x(0), x(1), y)),
            Op::Where => AnyKernel::float(elementwise::Where::new([x(0), x(1), x(2)], y)),
            Op::Concat(op) => AnyKernel::float(shape::Concat::new(*op, &shapes)),
            Op::Slice(op) => AnyKernel::float(shape::Gather::slice(op, x(0), y)),
            Op::Pad(op) => AnyKernel::float(shape::Pad::new(op, x(0), y)),
            Op::Expand(_) => AnyKernel::float(shape::Gather::expand(x(0), y)),
            Op::Transpose(perm) => AnyKernel::float(shape::Gather::transpose(perm, x(0), y)),
            Op::MatMul => AnyKernel::float(product::MatMul::new(x(0), x(1), y)),
            Op::Gemm(op) => {
                let c = shapes.get(2).map(|c| &c[..]);
                AnyKernel::float(product::Gemm::new(*op, x(0), c, y))
            }
            Op::Reduce(op) => AnyKernel::float(reduce::Reduce::new(op, x(0))),
            Op::Softmax(Axis(axis)) => AnyKernel::float(reduce::Softmax::new(y, *axis, false)),
            Op::LogSoftmax(Axis(axis)) => AnyKernel::float(reduce::Softmax::new(y, *axis, true)),
            Op::ArgMax(Axis(axis)) => AnyKernel::int(reduce::ArgMax::new(x(0), *axis)),
            Op::OneHot(depth) => AnyKernel::float(reduce::OneHot { depth: *depth }),
            Op::Constant(_) | Op::Reshape(_) => unreachable!("there is nothing to compute"),
        })
    }
}

/// A change of shape moves elements from one image to another unless as many elements lie outside
/// the batch axis before as after.
fn keeps_images_apart(graph: &Graph, x: ValueId, y: ValueId) -> Result<(), Error> {
    let outer = |v: ValueId| Layout::new(graph.shape(v)).outer();
    match outer(x) == outer(y) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::UnsupportedGraph,
            format!(
                "{}: from {} it would mix the images of a batch",
                graph.describe(y),
                graph.shape(x)
            ),
        )),
    }
}
