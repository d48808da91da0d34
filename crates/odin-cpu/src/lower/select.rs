//! Kernel selection: the kernel of each group, its operands, and its packed weights.

use super::chain::Chain;
use super::describe::describe;
use super::fused_elementwise;
use super::group::{Group, Head};
use super::memory_plan::{MemoryPlan, channels_and_plane};
use super::plan::Step;
use super::preparation::without_idle_strides;
use crate::kernels::conv::conv1x1::Conv1x1;
use crate::kernels::conv::conv1x1::bf16::Bf16Conv1x1;
use crate::kernels::conv::depthwise::Depthwise;
use crate::kernels::conv::direct::Conv;
use crate::kernels::conv::direct::products::{F32, Products, Shifted, Unfolded};
use crate::kernels::conv::im2col;
use crate::kernels::conv::op::ConvOp;
use crate::kernels::conv::winograd::Winograd;
use crate::kernels::epilogue::{Activation, Addend, Epilogue};
use crate::kernels::gemm::bf16::{Bf16, Parts};
use crate::kernels::gemm::packed::bf16::Bf16Gemm;
use crate::kernels::gemm::packed::{Factor, PackedGemm};
use crate::kernels::standalone_epilogue::StandaloneEpilogue;
use crate::kernels::strided_copy::StridedCopy;
use crate::kernels::{AnyKernel, ParallelKernel, elementwise, pool, reduce, shape};
use crate::memory::{Source, out_of_memory};
use crate::options::Options;
use crate::program::ProgramStep;
use crate::simd::Isa;
use crate::simd::bf16::Bf16Isa;
use crate::weight_cache::WeightCache;
use crate::{Error, ErrorKind};
use odin_graph::op::{self, Axis};
use odin_graph::{DType, Graph, Op, Tensor, ValueId};
use odin_lower::{BatchLayout, Placement, Slot, StridedView, View, leaves};
use std::sync::Arc;

pub(super) struct KernelSelector<'a> {
    pub(super) graph: &'a Graph,
    pub(super) isa: Isa,
    pub(super) options: Options,
    pub(super) views: &'a [View],
    pub(super) strided_views: &'a [StridedView],
    pub(super) placement: &'a Placement<'a>,
    pub(super) memory: &'a MemoryPlan,
    pub(super) weights: &'a WeightCache,
    /// The instructions for products of bf16, if they are to be used.
    pub(super) bf16: Option<Bf16Isa>,
    /// [`Graph::direction`], for each value.
    pub(super) is_direction: &'a [bool],
}

impl KernelSelector<'_> {
    /// Where an output of the graph is.
    pub(super) fn output(&self, v: ValueId) -> Result<Source, Error> {
        self.source(v).ok_or_else(|| self.internal_error())
    }

    /// Where an operand is; `None` if no step computes it.
    fn source(&self, v: ValueId) -> Option<Source> {
        let view = self.views[v.index()];
        match self.graph.constant_value(view.root) {
            Some(tensor) => Some(Source::Constant(tensor.clone())),
            None => self
                .memory
                .value(self.placement.resolve(view))
                .map(Source::Value),
        }
    }

    fn sources(&self, values: &[ValueId]) -> Option<Vec<Source>> {
        values.iter().map(|&x| self.source(x)).collect()
    }

    /// The step of a group; none where there is nothing to compute.
    pub(super) fn step(&self, group: &Group, in_place: bool) -> Result<Option<Step>, Error> {
        let mut algorithm = "";
        let (kernel, operands) = match group.head {
            Head::Single(v) => match self.node(v)? {
                Some((kernel, values)) => (kernel, self.sources(&values)),
                None => return Ok(None),
            },
            Head::StridedCopy(v) => {
                let StridedView { first, strides, .. } = &self.strided_views[v.index()];
                let copy = StridedCopy::new(&self.extents(v), strides, *first);
                (AnyKernel::parallel(copy), self.sources(&[group.input]))
            }
            Head::Identity => {
                let mut operands = self.sources(&[group.input]);
                let epilogue = self.epilogue(&group.epilogue, in_place, &mut operands);
                let (channels, plane) = channels_and_plane(self.graph, group.value);
                let kernel = StandaloneEpilogue {
                    isa: self.isa,
                    epilogue,
                    channels,
                    plane,
                };
                (AnyKernel::parallel(kernel), operands)
            }
            Head::Elementwise => {
                let kernel = fused_elementwise::kernel(self.graph, self.isa, &group.nodes);
                let kernel = kernel.ok_or_else(|| self.internal_error())?;
                let operands = self.sources(&leaves(self.graph, &group.nodes));
                (AnyKernel::parallel(kernel), operands)
            }
            Head::Product(v) => {
                let operands = self.sources(&group.reads(self.graph));
                (self.product(group, v)?, operands)
            }
            Head::Conv(v) => {
                let mut operands = self.sources(&[group.input]);
                let prologue = (!group.prologue.is_empty())
                    .then(|| self.epilogue(&group.prologue, false, &mut operands));
                let epilogue = self.epilogue(&group.epilogue, in_place, &mut operands);
                let kernel;
                (kernel, algorithm) = self.conv(v, prologue, epilogue)?;
                (kernel, operands)
            }
        };
        let saved = [group.prologue.saved_signs, group.epilogue.saved_signs];
        let slot = self.memory.value(self.placement.of(group.value));
        let (Some(output), Some(operands)) = (slot, operands) else {
            return Err(self.internal_error());
        };
        let is_concat =
            matches!(group.head, Head::Single(v) if matches!(self.graph.node(v).op, Op::Concat(_)));
        if !is_concat && self.overwrites_operand(group, output, in_place) {
            return Err(self.internal_error());
        }
        Ok(Some(Step {
            operands,
            output,
            saved_signs: saved.map(|mask| self.memory.signs(mask?)),
            description: ProgramStep {
                precision: kernel.precision(),
                ..describe(self.graph, group, algorithm)
            },
            kernel,
        }))
    }

    /// Whether the step reads where it writes, other than through [`Addend::InPlace`].
    fn overwrites_operand(&self, group: &Group, output: Slot, in_place: bool) -> bool {
        let dtype = self.graph.ty(group.value).dtype;
        let operands = group.operands(self.graph).into_iter();
        let overwritten = operands.filter(|&x| {
            let slot = self.memory.value(self.placement.of(x));
            self.graph.ty(x).dtype == dtype && slot.is_some_and(|slot| slot.overlaps(output))
        });
        overwritten.count() > usize::from(in_place)
    }

    /// A chain as an epilogue, its operands numbered after those that are there already.
    fn epilogue(
        &self,
        chain: &Chain,
        in_place: bool,
        operands: &mut Option<Vec<Source>>,
    ) -> Epilogue {
        let mut number = |source: Option<Source>| match (operands.as_mut(), source) {
            (Some(all), Some(source)) => {
                all.push(source);
                all.len() - 1
            }
            _ => {
                *operands = None;
                0
            }
        };
        let signs = |mask: ValueId| self.memory.signs(mask).map(Source::Value);
        Epilogue {
            scale: chain.scale.clone(),
            bias: chain.bias.clone(),
            mask: chain.mask.map(|mask| number(signs(mask))),
            addend: chain.addend.map(|value| match in_place {
                true => Addend::InPlace,
                false => Addend::Operand(number(self.source(value))),
            }),
            activation: match chain.activation {
                Activation::None => Activation::None,
                Activation::Relu => Activation::Relu,
                Activation::Clip(bounds) => Activation::Clip(bounds),
                Activation::Mask(mask) => Activation::Mask(number(signs(mask))),
            },
            save_signs: chain.saved_signs.is_some(),
        }
    }

    /// The kernel of a convolution with constant weights, and the name of its algorithm.
    fn conv(
        &self,
        v: ValueId,
        prologue: Option<Epilogue>,
        epilogue: Epilogue,
    ) -> Result<(AnyKernel, &'static str), Error> {
        let node = self.graph.node(v);
        let positions = |v: ValueId| self.extents(v).split_off(2);
        let op = match &node.op {
            Op::ConvTranspose(op) => ConvOp::Adjoint(op::ConvTranspose {
                window: without_idle_strides(&op.window, &positions(node.operands[0])),
                ..op.clone()
            }),
            Op::Conv(op) => ConvOp::Forward(op::Conv {
                window: without_idle_strides(&op.window, &positions(v)),
                ..op.clone()
            }),
            _ => return Err(self.internal_error()),
        };
        let tensor = self.graph.constant_value(node.operands[1]);
        let tensor = tensor.ok_or_else(|| self.internal_error())?;
        let (w, isa) = (tensor.data(), self.isa);
        let (x, y) = (&self.extents(node.operands[0])[..], &self.extents(v)[..]);
        if !op.is_within_limits(x) {
            return Err(self.reaches_too_far(v));
        }
        let constants = [Some(tensor), None];
        let layout = |algorithm: &str| format!("{isa:?}{algorithm} {x:?} {y:?} {:?}", node.op);
        if let Some(bf16) = self
            .bf16(v)
            .filter(|&bf16| is_faster_in_bf16(self.options, bf16, &op, x, y))
        {
            let layout = format!("{bf16:?} {x:?} {y:?} {:?}", node.op);
            let bytes = 2 * bf16.parts.count() * w.len();
            if let Some(mut conv) = Bf16Conv1x1::new(isa, bf16, &op, x, y) {
                let pack = || conv.pack(&op, w);
                conv.weights = self.packed(v, constants, layout, bytes, pack)?;
                (conv.prologue, conv.epilogue) = (prologue, epilogue);
                return Ok((AnyKernel::parallel(conv), ""));
            }
            let unfolded = Conv::new(isa, Unfolded(bf16), &op, x, y).filter(|_| prologue.is_none());
            if let Some(unfolded) = unfolded {
                let shifted = Conv::new(isa, Shifted(bf16), &op, x, y);
                let kernel = match shifted.filter(Conv::is_faster_shifted) {
                    Some(conv) => {
                        self.direct(v, conv, &op, w, layout + " shifted", bytes, epilogue)?
                    }
                    None => self.direct(v, unfolded, &op, w, layout, bytes, epilogue)?,
                };
                return Ok((kernel, ""));
            }
        }
        if let Some(mut winograd) = Winograd::choose(self.options, &op, x, y) {
            let name = winograd.name();
            let pack = || winograd.pack(&op, w);
            winograd.weights = self.packed(v, constants, layout(name), 16 * w.len(), pack)?;
            winograd.epilogue = epilogue;
            return Ok((AnyKernel::parallel(winograd), name));
        }
        let (layout, bytes) = (layout(""), 4 * w.len());
        if let Some(mut depthwise) = Depthwise::new(isa, &op, x, y) {
            let pack = || depthwise.pack(&op, w);
            depthwise.weights = self.packed(v, constants, layout, bytes, pack)?;
            depthwise.epilogue = epilogue;
            return Ok((AnyKernel::parallel(depthwise), ""));
        }
        if let Some(mut conv) = Conv1x1::new(isa, &op, x, y) {
            let pack = || conv.pack(&op, w);
            conv.weights = self.packed(v, constants, layout, bytes, pack)?;
            (conv.prologue, conv.epilogue) = (prologue.unwrap_or_default(), epilogue);
            return Ok((AnyKernel::parallel(conv), ""));
        }
        let conv = Conv::new(isa, F32, &op, x, y).filter(|_| prologue.is_none());
        let conv = conv.ok_or_else(|| self.too_large(v))?;
        let kernel = self.direct(v, conv, &op, w, layout, bytes, epilogue)?;
        Ok((kernel, ""))
    }

    /// A direct convolution with packed weights and an epilogue.
    #[allow(clippy::too_many_arguments)]
    fn direct<P: Products>(
        &self,
        v: ValueId,
        mut conv: Conv<P>,
        op: &ConvOp,
        w: &[f32],
        layout: String,
        bytes: usize,
        epilogue: Epilogue,
    ) -> Result<AnyKernel, Error> {
        let constants = [
            self.graph.constant_value(self.graph.node(v).operands[1]),
            None,
        ];
        let pack = || conv.pack(op, w);
        conv.phases = self.packed(v, constants, layout, bytes, pack)?;
        conv.epilogue = epilogue;
        Ok(AnyKernel::parallel(conv))
    }

    /// How the products of a node are computed in bf16; `None` if they are in f32.
    fn bf16(&self, v: ValueId) -> Option<Bf16> {
        let isa = self.bf16?;
        let parts = match self.is_direction[v.index()] {
            true => Parts::One,
            false => Parts::Two,
        };
        (parts == Parts::One || isa.is_faster_split()).then_some(Bf16 { isa, parts })
    }

    /// Packed constants from the cache, or packed now, which takes `bytes`.
    fn packed<T: Send + Sync + 'static>(
        &self,
        v: ValueId,
        constants: [Option<&Tensor>; 2],
        layout: String,
        bytes: usize,
        pack: impl FnOnce() -> Option<T>,
    ) -> Result<Arc<T>, Error> {
        let packed = self.weights.get_or_pack(constants, layout, pack);
        let what = || format!("the packed weights of {}", self.graph.describe(v));
        packed.ok_or_else(|| out_of_memory(&what(), bytes))
    }

    fn reaches_too_far(&self, v: ValueId) -> Error {
        let node = self.graph.describe(v);
        let message = format!(
            "{node}: its strides, dilations or padding are too large: at most 2^32 elements along an axis, and steps of 256 along both axes of a transposed convolution or a gradient, are supported"
        );
        Error::new(ErrorKind::UnsupportedGraph, message)
    }

    fn too_large(&self, v: ValueId) -> Error {
        let node = self.graph.describe(v);
        let message = format!(
            "{node}: rows of its input have more than 2^32 elements in all channels; use smaller images"
        );
        Error::new(ErrorKind::UnsupportedGraph, message)
    }

    /// A value that no step computes, or that a step overwrites too early: a bug of the lowering,
    /// not of the graph.
    fn internal_error(&self) -> Error {
        let nodes = self.graph.nodes().len();
        let message = format!(
            "internal error: the memory plan of this graph of {nodes} nodes is inconsistent; please report it"
        );
        Error::new(ErrorKind::UnsupportedGraph, message)
    }

    /// The kernel of a matrix product and of the operators that are applied to it.
    fn product(&self, group: &Group, v: ValueId) -> Result<AnyKernel, Error> {
        let (node, isa, y) = (self.graph.node(v), self.isa, &self.extents(v)[..]);
        let shapes: Vec<Vec<usize>> = node.operands.iter().map(|&x| self.extents(x)).collect();
        let mut gemm = match &node.op {
            Op::Gemm(op) => {
                let c = shapes.get(2).map(|c| &c[..]);
                PackedGemm::gemm(isa, *op, &shapes[0], c, y)
            }
            _ => {
                let factor = |i: usize| {
                    let (x, shape) = (node.operands[i], &shapes[i][..]);
                    match group.factors[i] == x {
                        true => Factor::row_major(shape),
                        false => {
                            let StridedView { first, strides, .. } = &self.strided_views[x.index()];
                            Factor::strided(shape, strides, *first)
                        }
                    }
                };
                PackedGemm::mat_mul(isa, factor(0), factor(1), y)
            }
        };
        if !group.nodes.is_empty() {
            let first = group.factors.len();
            let program = fused_elementwise::epilogue(self.graph, isa, group, first);
            gemm.program = Some(program.ok_or_else(|| self.internal_error())?);
        }
        self.gemm(v, gemm)
    }

    /// The kernel of a matrix product, its constant operands packed.
    fn gemm(&self, v: ValueId, mut gemm: PackedGemm) -> Result<AnyKernel, Error> {
        let node = self.graph.node(v);
        let constant = |i: usize| {
            let root = self.views[node.operands[i].index()].root;
            self.graph.constant_value(root)
        };
        let constants = [constant(0), constant(1)];
        let [a, b] = constants.map(|c| c.map(Tensor::data));
        let bytes = 4 * [a, b].iter().flatten().map(|c| c.len()).sum::<usize>();
        let [m, n, k] = gemm.shape();
        let is_matrix = |c: Option<&[f32]>, len: usize| c.is_some_and(|c| c.len() == len);
        let is_packed = [is_matrix(a, m * k), is_matrix(b, k * n)];
        let bf16 = self.bf16(v);
        if let Some(bf16) = bf16.filter(|_| Bf16Gemm::supports(&gemm, is_packed)) {
            let mut gemm = Bf16Gemm::new(gemm, bf16, is_packed);
            if is_packed.contains(&true) {
                let layout = format!("{bf16:?} {:?} {:?}", gemm.shape(), node.op);
                gemm.packed = self.packed(v, constants, layout, bytes, || gemm.pack(a, b))?;
            }
            return Ok(AnyKernel::parallel(gemm));
        }
        if constants.iter().any(Option::is_some) {
            let layout = format!("{:?} {:?} {:?}", self.isa, gemm.shape(), node.op);
            gemm.packed = self.packed(v, constants, layout, bytes, || gemm.pack(a, b))?;
        }
        Ok(AnyKernel::parallel(gemm))
    }

    /// The kernel of a pool, unless the image is too large for it.
    fn pool(
        &self,
        v: ValueId,
        kernel: Option<impl ParallelKernel + 'static>,
    ) -> Result<AnyKernel, Error> {
        let message = || {
            let node = self.graph.describe(v);
            format!(
                "{node}: a channel of its padded input has more than 2^32 elements; use smaller images"
            )
        };
        let kernel = kernel.map(AnyKernel::parallel);
        kernel.ok_or_else(|| Error::new(ErrorKind::UnsupportedGraph, message()))
    }

    fn extents(&self, v: ValueId) -> Vec<usize> {
        self.graph.shape(v).at(1)
    }

    /// The kernel of a node that is not fused, and its operands; none where there is nothing to
    /// compute.
    fn node(&self, v: ValueId) -> Result<Option<(AnyKernel, Vec<ValueId>)>, Error> {
        let node = self.graph.node(v);
        match &node.op {
            Op::Constant(_) => Ok(None),
            Op::Concat(op) => Ok(self.concat(v, *op)),
            _ => Ok(Some((self.kernel(v)?, node.operands.clone()))),
        }
    }

    /// Copies the operands that are not computed inside of the result.
    fn concat(&self, v: ValueId, op: op::Concat) -> Option<(AnyKernel, Vec<ValueId>)> {
        let parts = &self.graph.node(v).operands;
        let shapes: Vec<Vec<usize>> = parts.iter().map(|&x| self.extents(x)).collect();
        let mut concat = shape::Concat::new(op, &shapes);
        let outer: usize = self.extents(v)[..op.axis].iter().product();
        let is_inside = |(&part, offset): (&ValueId, usize)| {
            outer == 1 && self.placement.is_inside(part, v, offset)
        };
        let inside: Vec<bool> = parts.iter().zip(concat.offsets()).map(is_inside).collect();
        let copied: Vec<ValueId> = concat.leave_out(&inside, parts);
        (!copied.is_empty()).then(|| (AnyKernel::parallel(concat), copied))
    }

    /// The kernel of a node that is neither fused, nor a constant or a concatenation.
    fn kernel(&self, v: ValueId) -> Result<AnyKernel, Error> {
        let (node, isa) = (self.graph.node(v), self.isa);
        let y = &self.extents(v)[..];
        let shapes: Vec<Vec<usize>> = node.operands.iter().map(|&x| self.extents(x)).collect();
        let x = |i: usize| &shapes[i][..];
        let softmax = |axis: usize, logarithm: bool| {
            AnyKernel::parallel(reduce::Softmax::new(isa, y, axis, logarithm))
        };
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
                layout: BatchLayout::new(&node.ty.shape),
            }),
            Op::Conv(op) => AnyKernel::float(im2col::Conv::new(isa, op, x(0), y)),
            Op::ConvTranspose(op) => AnyKernel::float(im2col::ConvTranspose::new(isa, op, x(0), y)),
            Op::BatchNorm(norm) => AnyKernel::float(elementwise::BatchNorm::new(norm, x(0))),
            Op::MaxPool(w) => {
                let w = without_idle_strides(w, &y[2..]);
                self.pool(v, pool::Pool::max(isa, &w, x(0), y))?
            }
            Op::MaxPoolGrad(w) => {
                let w = without_idle_strides(w, &x(1)[2..]);
                self.pool(v, pool::MaxPoolGrad::new(isa, &w, x(0), x(1)))?
            }
            Op::AvgPool(op) => {
                let window = without_idle_strides(&op.window, &y[2..]);
                let pool = op::AvgPool {
                    window,
                    ..op.clone()
                };
                self.pool(v, pool::Pool::mean(isa, &pool, x(0), y))?
            }
            Op::Compare(op) => AnyKernel::bool(elementwise::Compare::new(*op, x(0), x(1), y)),
            Op::Pad(op) => AnyKernel::parallel(shape::Pad::new(op, x(0), y)),
            Op::Reduce(op) => AnyKernel::parallel(reduce::Reduce::new(isa, op, x(0))),
            Op::Softmax(Axis(axis)) => softmax(*axis, false),
            Op::LogSoftmax(Axis(axis)) => softmax(*axis, true),
            Op::ArgMax(Axis(axis)) => AnyKernel::int(reduce::ArgMax::new(x(0), *axis)),
            Op::TopK(top) => AnyKernel::float(reduce::TopK::new(x(0), *top)),
            Op::OneHot(depth) => AnyKernel::float(reduce::OneHot { depth: *depth }),
            Op::Relu | Op::Unary(_) | Op::Binary(_) | Op::Where => {
                return Err(self.internal_error());
            }
            Op::Constant(_) | Op::Concat(_) | Op::MatMul | Op::Gemm(_) => {
                return Err(self.internal_error());
            }
            Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Expand(_) => {
                return Err(self.internal_error());
            }
        })
    }
}

/// Whether a convolution takes less time in bf16 than in f32, by the shapes alone: not if most rows of
/// the tiles of a group were empty, and not where Winograd's method saves more: than AVX-512 BF16 does,
/// and than two parts do if there are few output channels.
fn is_faster_in_bf16(
    options: Options,
    Bf16 { isa, parts }: Bf16,
    op: &ConvOp,
    x: &[usize],
    y: &[usize],
) -> bool {
    const FEWEST_OUTPUTS: usize = 8;
    const FEWEST_OUTPUTS_BESIDE_WINOGRAD: usize = 32;
    let outputs = y[1] / op.groups();
    let is_winograd = || Winograd::choose(options, op, x, y).is_some();
    match (isa.is_faster_split(), parts) {
        (true, Parts::One) => outputs >= FEWEST_OUTPUTS,
        (true, Parts::Two) if is_winograd() => outputs >= FEWEST_OUTPUTS_BESIDE_WINOGRAD,
        _ => outputs >= FEWEST_OUTPUTS && !is_winograd(),
    }
}
