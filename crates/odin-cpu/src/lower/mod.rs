//! From the portable graph to a program: steps that compute several operators at once, and places
//! in memory for what is between them.

mod about;
mod blocks;
mod fuse;
mod moves;
mod place;
mod views;

use crate::batch::Layout;
use crate::kernels::conv::{Conv, Kind, Phase};
use crate::kernels::conv1x1::Conv1x1;
use crate::kernels::depthwise::{Depthwise, Windows};
use crate::kernels::map::Map;
use crate::kernels::winograd::Winograd;
use crate::kernels::{
    AnyKernel, ScratchSize, elementwise, gather, pool, product, reduce, shape, unfold,
};
use crate::options::Options;
use crate::pointwise::{Addend, After, Pointwise};
use crate::product::Packed;
use crate::program::ProgramStep;
use crate::simd::{InstructionSet, Isa};
use crate::workspace::{Place, Sizes, Source, out_of_memory};
use crate::{Error, ErrorKind};
use fuse::{Chain, Group, Head, Last};
use moves::{Reading, compose, readings};
use odin_graph::op::Axis;
use odin_graph::{DType, Graph, Op, ValueId};
use place::{Places, Storage, grid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use views::{View, views};

/// A graph ready to run.
pub(crate) struct Plan {
    pub(crate) inputs: Vec<Port>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<(Port, Source)>,
    pub(crate) sizes: Sizes,
    /// How many images a thread had best compute at a time.
    pub(crate) images_at_a_time: usize,
    pub(crate) instructions: InstructionSet,
}

/// A value that goes in or out.
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) layout: Layout,
}

/// One kernel, what it reads and where it writes.
pub(crate) struct Step {
    pub(crate) kernel: AnyKernel,
    pub(crate) operands: Vec<Source>,
    pub(crate) output: Place,
    /// Where the signs go, of an activation before the kernel and of its result.
    pub(crate) signs: [Option<Place>; 2],
    pub(crate) about: ProgramStep,
}

pub(crate) fn lower(graph: &Graph, options: Options) -> Result<Plan, Error> {
    let readings = readings(graph);
    let views = views(graph, &readings)?;
    let groups = compose(graph, &views, &readings, fuse::groups(graph));
    let groups = in_order(graph, groups);
    let (storage, in_place) = Storage::new(graph, &views, &groups);
    let mut places = Places::new(graph, &storage, &groups);
    let lowering = Lowering {
        graph,
        isa: options.instructions.0,
        options,
        views: &views,
        readings: &readings,
        storage: &storage,
        places: &places,
        convs: RefCell::default(),
        matrices: RefCell::default(),
        windows: RefCell::default(),
        products: RefCell::default(),
    };
    let mut steps = Vec::new();
    for (group, in_place) in groups.iter().zip(in_place) {
        steps.extend(lowering.step(group, in_place)?);
    }
    let ports = graph.outputs().iter();
    let outputs = ports.map(|o| Some((port(graph, &o.name, o.value), lowering.source(o.value)?)));
    let outputs = outputs.collect::<Option<_>>().ok_or_else(|| lost(graph))?;
    places.sizes.scratch =
        steps
            .iter()
            .map(|step| step.kernel.scratch())
            .fold(ScratchSize::default(), |a, b| ScratchSize {
                floats: a.floats.max(b.floats),
                indices: a.indices.max(b.indices),
            });
    let images_at_a_time = steps.iter().map(|s| s.kernel.images_at_a_time());
    let images_at_a_time = images_at_a_time.max().unwrap_or(1);
    Ok(Plan {
        inputs: graph
            .inputs()
            .map(|(v, input)| port(graph, &input.name, v))
            .collect(),
        steps,
        outputs,
        sizes: places.sizes,
        images_at_a_time,
        instructions: options.instructions,
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

/// A value that no step computes: a mistake of this module, not of the graph.
fn lost(graph: &Graph) -> Error {
    let nodes = graph.nodes().len();
    let message = format!("a value of this graph of {nodes} nodes has no place; please report it");
    Error::new(ErrorKind::UnsupportedGraph, message)
}

/// Groups in the order of their values; a comparison comes directly after its operands, so that an
/// activation may go as soon as its mask is taken.
fn in_order(graph: &Graph, mut groups: Vec<Group>) -> Vec<Group> {
    let turn = |group: &Group| match group.head {
        Head::Single(v) if matches!(graph.node(v).op, Op::Compare(_)) => {
            let operands = graph.node(v).operands.iter().copied();
            let last = operands
                .filter(|&x| graph.constant_value(x).is_none())
                .max();
            (last.unwrap_or(v), Some(v))
        }
        _ => (group.value, None),
    };
    groups.sort_by_key(turn);
    groups
}

struct Lowering<'a> {
    graph: &'a Graph,
    isa: Isa,
    options: Options,
    views: &'a [View],
    readings: &'a [Reading],
    storage: &'a Storage<'a>,
    places: &'a Places,
    /// What is packed already: the second forward pass has the weights of the first.
    convs: RefCell<HashMap<String, Arc<[Phase]>>>,
    matrices: RefCell<HashMap<String, Arc<Packed>>>,
    windows: RefCell<HashMap<String, Arc<Windows>>>,
    products: RefCell<HashMap<String, product::Known>>,
}

impl Lowering<'_> {
    /// Where an operand is; `None` if no step computes it.
    fn source(&self, v: ValueId) -> Option<Source> {
        let view = self.views[v.index()];
        match self.graph.constant_value(view.root) {
            Some(tensor) => Some(Source::Constant(tensor.clone())),
            None => self
                .places
                .value(self.storage.resolve(view))
                .map(Source::Value),
        }
    }

    /// The step of a group; none where there is nothing to compute.
    fn step(&self, group: &Group, in_place: bool) -> Result<Option<Step>, Error> {
        let sources = |values: &[ValueId]| -> Option<Vec<Source>> {
            values.iter().map(|&x| self.source(x)).collect()
        };
        let mut how = "";
        let (kernel, operands) = match group.head {
            Head::Single(v) => match self.node(v)? {
                Some((kernel, values)) => (kernel, sources(&values)),
                None => return Ok(None),
            },
            Head::Move(v) => {
                let Reading { first, strides, .. } = &self.readings[v.index()];
                let gather = gather::Gather::new(&self.extents(v), strides, *first);
                (AnyKernel::shared(gather), sources(&[group.input]))
            }
            Head::Map => {
                let mut operands = sources(&[group.input]);
                let pointwise = self.pointwise(&group.after, in_place, &mut operands);
                let (channels, plane) = grid(self.graph, group.value);
                let map = Map {
                    isa: self.isa,
                    pointwise,
                    channels,
                    plane,
                };
                (AnyKernel::shared(map), operands)
            }
            Head::Block => {
                let kernel = blocks::kernel(self.graph, self.isa, &group.nodes);
                let kernel = kernel.ok_or_else(|| lost(self.graph))?;
                let operands = sources(&blocks::leaves(self.graph, &group.nodes));
                (AnyKernel::shared(kernel), operands)
            }
            Head::Conv(v) => {
                let mut operands = sources(&[group.input]);
                let before = self.pointwise(&group.before, false, &mut operands);
                let after = self.pointwise(&group.after, in_place, &mut operands);
                let kernel = if let Some(mut winograd) = self.winograd(v)? {
                    winograd.after = after;
                    how = winograd.name();
                    AnyKernel::shared(winograd)
                } else if let Some(mut depthwise) = self.depthwise(v)? {
                    depthwise.after = after;
                    AnyKernel::shared(depthwise)
                } else if let Some(mut conv) = self.conv1x1(v)? {
                    (conv.before, conv.after) = (before, after);
                    AnyKernel::shared(conv)
                } else if group.before.is_empty() {
                    let mut conv = self.conv(v)?;
                    conv.after = after;
                    AnyKernel::shared(conv)
                } else {
                    return Err(self.too_large(v));
                };
                (kernel, operands)
            }
        };
        let saves = [group.before.save, group.after.save];
        let place = self.places.value(self.storage.of(group.value));
        let (Some(output), Some(operands)) = (place, operands) else {
            return Err(lost(self.graph));
        };
        let is_concat =
            matches!(group.head, Head::Single(v) if matches!(self.graph.node(v).op, Op::Concat(_)));
        if !is_concat && self.reads_under(group, output, in_place) {
            return Err(lost(self.graph));
        }
        Ok(Some(Step {
            kernel,
            operands,
            output,
            signs: saves.map(|mask| self.places.signs(mask?)),
            about: about::about(self.graph, group, how),
        }))
    }

    /// Whether the step reads where it writes, other than through [`Addend::Output`].
    fn reads_under(&self, group: &Group, output: Place, in_place: bool) -> bool {
        let dtype = self.graph.ty(group.value).dtype;
        let operands = place::operands(self.graph, group).into_iter();
        let under = operands.filter(|&x| {
            let place = self.places.value(self.storage.of(x));
            let overlaps = |p: Place| {
                p.offset < output.offset + output.len && output.offset < p.offset + p.len
            };
            self.graph.ty(x).dtype == dtype && place.is_some_and(overlaps)
        });
        under.count() > usize::from(in_place)
    }

    /// A chain whose operands follow those that are there already.
    fn pointwise(
        &self,
        chain: &Chain,
        in_place: bool,
        operands: &mut Option<Vec<Source>>,
    ) -> Pointwise {
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
        let signs = |mask: ValueId| self.places.signs(mask).map(Source::Value);
        Pointwise {
            scale: chain.scale.clone(),
            bias: chain.bias.clone(),
            mask: chain.mask.map(|mask| number(signs(mask))),
            addend: chain.addend.map(|value| match in_place {
                true => Addend::Output,
                false => Addend::Operand(number(self.source(value))),
            }),
            after: match chain.last {
                Last::Nothing => After::Nothing,
                Last::Relu => After::Relu,
                Last::Keep(mask) => After::Keep(number(signs(mask))),
            },
            save: chain.save.is_some(),
        }
    }

    /// A convolution and its known weights.
    fn kind(&self, v: ValueId) -> Result<(Kind, &[f32]), Error> {
        let node = self.graph.node(v);
        let kind = match &node.op {
            Op::ConvTranspose(op) => Kind::Adjoint(op.clone()),
            Op::Conv(op) => Kind::Conv(op.clone()),
            _ => return Err(lost(self.graph)),
        };
        let weights = self.graph.constant_value(node.operands[1]);
        Ok((kind, weights.ok_or_else(|| lost(self.graph))?.data()))
    }

    /// What identifies the packed weights of a convolution.
    fn key(&self, v: ValueId) -> String {
        let node = self.graph.node(v);
        let (x, y) = (self.extents(node.operands[0]), self.extents(v));
        format!("{} {x:?} {y:?} {:?}", node.operands[1], node.op)
    }

    /// The packed weights of a convolution: those that another step has packed in the same way, or
    /// what `pack` gives. `bytes` is what they take.
    fn shared<T: ?Sized>(
        &self,
        all: &RefCell<HashMap<String, Arc<T>>>,
        v: ValueId,
        bytes: usize,
        pack: impl FnOnce() -> Option<Arc<T>>,
    ) -> Result<Arc<T>, Error> {
        let key = self.key(v);
        if let Some(packed) = all.borrow().get(&key) {
            return Ok(Arc::clone(packed));
        }
        let place = || format!("the packed weights of {}", self.graph.describe(v));
        let packed = pack().ok_or_else(|| out_of_memory(&place(), bytes))?;
        all.borrow_mut().insert(key, Arc::clone(&packed));
        Ok(packed)
    }

    /// The shapes of the input and the output of a node with known weights.
    fn in_and_out(&self, v: ValueId) -> [Vec<usize>; 2] {
        [
            self.extents(self.graph.node(v).operands[0]),
            self.extents(v),
        ]
    }

    /// A convolution that is computed by Winograd's method, if it is one.
    fn winograd(&self, v: ValueId) -> Result<Option<Winograd>, Error> {
        let ((kind, w), [x, y]) = (self.kind(v)?, self.in_and_out(v));
        let Some(winograd) = Winograd::choose(self.options, &kind, &x, &y) else {
            return Ok(None);
        };
        let pack = || winograd.pack(&kind, w).map(Arc::new);
        let packed = self.shared(&self.matrices, v, 16 * w.len(), pack)?;
        Ok(Some(winograd.with(packed)))
    }

    /// A convolution whose groups have few channels, if it is one.
    fn depthwise(&self, v: ValueId) -> Result<Option<Depthwise>, Error> {
        let ((kind, w), [x, y]) = (self.kind(v)?, self.in_and_out(v));
        let Some(depthwise) = Depthwise::new(self.isa, &kind, &x, &y) else {
            return Ok(None);
        };
        let pack = || depthwise.pack(&kind, w).map(Arc::new);
        let packed = self.shared(&self.windows, v, 4 * w.len(), pack)?;
        Ok(Some(depthwise.with(packed)))
    }

    /// A convolution of single elements, if it is one.
    fn conv1x1(&self, v: ValueId) -> Result<Option<Conv1x1>, Error> {
        let ((kind, w), [x, y]) = (self.kind(v)?, self.in_and_out(v));
        let Some(conv) = Conv1x1::new(self.isa, &kind, &x, &y) else {
            return Ok(None);
        };
        let pack = || conv.pack(&kind, w).map(Arc::new);
        let packed = self.shared(&self.matrices, v, 4 * w.len(), pack)?;
        Ok(Some(conv.with(packed)))
    }

    fn too_large(&self, v: ValueId) -> Error {
        let place = self.graph.describe(v);
        let message = format!(
            "{place}: rows of its input have more than 2^32 elements in all channels; use smaller images"
        );
        Error::new(ErrorKind::UnsupportedGraph, message)
    }

    fn conv(&self, v: ValueId) -> Result<Conv, Error> {
        let ((kind, w), [x, y]) = (self.kind(v)?, self.in_and_out(v));
        let conv = Conv::new(self.isa, &kind, &x, &y).ok_or_else(|| self.too_large(v))?;
        let pack = || conv.pack(&kind, w).map(Arc::from);
        let packed = self.shared(&self.convs, v, 4 * w.len(), pack)?;
        Ok(conv.with(packed))
    }

    /// A product with its known operands packed; those that another step has packed in the same
    /// way are shared with it.
    fn packed(&self, v: ValueId, product: product::Product) -> Result<product::Product, Error> {
        let operands = &self.graph.node(v).operands;
        let root = |i: usize| self.views[operands[i].index()].root;
        let known = |i: usize| self.graph.constant_value(root(i)).map(|t| t.data());
        let pack = || product.pack(known(0), known(1));
        let place = || format!("the packed weights of {}", self.graph.describe(v));
        let bytes = 4 * (known(0).map_or(0, <[f32]>::len) + known(1).map_or(0, <[f32]>::len));
        if known(0).is_none() && known(1).is_none() {
            return Ok(product);
        }
        let id = |i: usize| known(i).map(|_| root(i));
        let key = format!(
            "{:?} {:?} {:?} {:?}",
            id(0),
            id(1),
            product.shape(),
            self.graph.node(v).op
        );
        let mut shared = self.products.borrow_mut();
        let packed = match shared.get(&key) {
            Some(packed) => packed.clone(),
            None => pack().ok_or_else(|| out_of_memory(&place(), bytes))?,
        };
        shared.insert(key, packed.clone());
        Ok(product.with(packed))
    }

    fn extents(&self, v: ValueId) -> Vec<usize> {
        self.graph.shape(v).at(1)
    }

    /// The kernel of a single node, and its operands.
    fn node(&self, v: ValueId) -> Result<Option<(AnyKernel, Vec<ValueId>)>, Error> {
        let node = self.graph.node(v);
        match &node.op {
            Op::Constant(_) => Ok(None),
            Op::Concat(op) => Ok(self.concat(v, *op)),
            _ => Ok(Some((self.kernel(v)?, node.operands.clone()))),
        }
    }

    /// Copies the parts that are not computed where they belong.
    fn concat(&self, v: ValueId, op: odin_graph::op::Concat) -> Option<(AnyKernel, Vec<ValueId>)> {
        let parts = &self.graph.node(v).operands;
        let shapes: Vec<Vec<usize>> = parts.iter().map(|&x| self.extents(x)).collect();
        let mut concat = shape::Concat::new(op, &shapes);
        let outer: usize = self.extents(v)[..op.axis].iter().product();
        let is_there = |(&part, offset): (&ValueId, usize)| {
            outer == 1 && self.storage.is_part(part, v, offset)
        };
        let there: Vec<bool> = parts.iter().zip(concat.starts()).map(is_there).collect();
        let missing: Vec<ValueId> = concat.leave_out(&there, parts);
        (!missing.is_empty()).then(|| (AnyKernel::shared(concat), missing))
    }

    fn batch_norm(&self, v: ValueId) -> elementwise::BatchNorm {
        let node = self.graph.node(v);
        let Op::BatchNorm(norm) = &node.op else {
            unreachable!("only called for batch normalisations");
        };
        elementwise::BatchNorm::new(norm, &self.extents(node.operands[0]))
    }

    fn softmax(&self, shape: &[usize], axis: usize, logarithm: bool) -> AnyKernel {
        AnyKernel::shared(reduce::Softmax::new(self.isa, shape, axis, logarithm))
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
            Op::Conv(op) => AnyKernel::float(unfold::Conv::new(self.isa, op, x(0), y)),
            Op::ConvTranspose(op) => {
                AnyKernel::float(unfold::ConvTranspose::new(self.isa, op, x(0), y))
            }
            Op::BatchNorm(_) => AnyKernel::float(self.batch_norm(v)),
            Op::MaxPool(w) => AnyKernel::shared(pool::Pool::largest(self.isa, w, x(0), y)),
            Op::MaxPoolGrad(w) => {
                AnyKernel::shared(pool::MaxPoolGrad::new(self.isa, w, x(0), x(1)))
            }
            Op::AvgPool(op) => AnyKernel::shared(pool::Pool::mean(self.isa, op, x(0), y)),
            Op::Compare(op) => AnyKernel::bool(elementwise::Compare::new(*op, x(0), x(1), y)),
            Op::Pad(op) => AnyKernel::shared(shape::Pad::new(op, x(0), y)),
            Op::MatMul => {
                let product = product::Product::mat_mul(self.isa, x(0), x(1), y);
                AnyKernel::shared(self.packed(v, product)?)
            }
            Op::Gemm(op) => {
                let c = shapes.get(2).map(|c| &c[..]);
                let product = product::Product::gemm(self.isa, *op, x(0), c, y);
                AnyKernel::shared(self.packed(v, product)?)
            }
            Op::Reduce(op) => AnyKernel::shared(reduce::Reduce::new(self.isa, op, x(0))),
            Op::Softmax(Axis(axis)) => self.softmax(y, *axis, false),
            Op::LogSoftmax(Axis(axis)) => self.softmax(y, *axis, true),
            Op::ArgMax(Axis(axis)) => AnyKernel::int(reduce::ArgMax::new(x(0), *axis)),
            Op::OneHot(depth) => AnyKernel::float(reduce::OneHot { depth: *depth }),
            Op::Relu | Op::Unary(_) | Op::Binary(_) | Op::Where => return Err(lost(self.graph)),
            Op::Constant(_) | Op::Concat(_) => return Err(lost(self.graph)),
            Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Expand(_) => {
                return Err(lost(self.graph));
            }
        })
    }
}
