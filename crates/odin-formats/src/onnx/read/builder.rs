//! Builds a graph from the nodes of a file, within a budget of elements.

use super::const_value::{ConstValue, Kind, elements};
use super::external::{ExternalFiles, Place};
use super::number::Number;
use super::sparse;
use super::tensor::{self, Decoded, Weights};
use crate::Error;
use crate::allowance::unfolded_limit;
use crate::onnx::proto::{SparseTensorProto, TensorProto};
use odin_graph::cost::interpretation;
use odin_graph::op::{Compare, Pad, PadAxis, Reduce, ReduceKind};
use odin_graph::{Budget, Dim, Graph, Op, Shape, Tensor, ValueId, interpret};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub(super) type Built = Result<ValueId, Error>;

/// What a name of the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A value of the graph.
    Node(ValueId),
    /// A constant that the reader computes with.
    Const(Arc<ConstValue>),
}

/// What a value of quantised numbers stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantized {
    pub(super) real: ValueId,
    pub(super) scale: f64,
    pub(super) zero: f64,
}

/// Constants up to this size are looked into when an operator needs a constant operand.
const LARGEST_FOLDED: usize = 1 << 16;

/// The most work for which they are computed while the file is read.
const MOST_FOLDING_WORK: u64 = 1 << 22;

/// What operators are built with.
pub(super) struct Builder<'a> {
    pub(super) graph: Graph,
    /// For values whose rows are not in the file's order: how many positions of each image lie
    /// side by side.
    interleaved: HashMap<ValueId, usize>,
    /// The number of images that the file was written for, where it is not left open.
    pub(super) fixed_batch: Option<usize>,
    /// Whether numbers were quantised or dequantised.
    pub(super) is_quantized: bool,
    /// What activations were before they were quantised.
    pub(super) quantized: HashMap<ValueId, Quantized>,
    folder: Option<&'a Path>,
    external_files: ExternalFiles,
    /// Tensors of attributes, which a function may use many times, by their address.
    attributes: HashMap<*const TensorProto, Value>,
}

impl<'a> Builder<'a> {
    /// An empty graph, for a file of `file_len` bytes with external data in `folder`.
    pub(super) fn new(folder: Option<&'a Path>, file_len: usize) -> Self {
        Self {
            graph: Graph::with_budget(Budget::new(unfolded_limit(file_len as u64))),
            interleaved: HashMap::new(),
            fixed_batch: None,
            is_quantized: false,
            quantized: HashMap::new(),
            folder,
            external_files: ExternalFiles::default(),
            attributes: HashMap::new(),
        }
    }

    /// Counts values of type `T` that are about to be made.
    ///
    /// # Errors
    /// When a small file asks for more than it has any reason to.
    pub(super) fn spend<T>(&mut self, count: usize) -> Result<(), Error> {
        self.graph.budget_mut().spend::<T>(count).map_err(invalid)
    }

    /// Counts a constant, which a file may name many times. A file of external data has memory to
    /// give for as many bytes as it has on the disk.
    fn account_for(&mut self, proto: &TensorProto, is_real: bool) -> Result<(), Error> {
        if let Some(place) = Place::of(proto, self.folder)? {
            let expected = tensor::len_in_bytes(proto)?;
            let bytes = self.external_files.visit(&place, expected)?;
            let more = unfolded_limit(bytes) - unfolded_limit(0);
            self.graph.budget_mut().extend(more);
        }
        let count = elements(&tensor::extents(&proto.dims)?)?;
        match is_real {
            true => self.spend::<f32>(count),
            false => self.spend::<Number>(count),
        }
    }

    /// The `i`-th initializer of the file, which is `proto`.
    pub(super) fn initializer(
        &mut self,
        weights: &Weights,
        i: usize,
        proto: &TensorProto,
    ) -> Result<Value, Error> {
        match weights.decoded(i) {
            None => self.account_for(proto, weights.is_real(i, proto))?,
            // The memory is there already, and so was the file.
            Some(decoded) => {
                let more = unfolded_limit(decoded.bytes()) - unfolded_limit(0);
                self.graph.budget_mut().extend(more);
            }
        }
        self.add_constant(weights.get(i, proto, self.folder)?)
    }

    /// Real numbers become a constant of the graph, others are kept to be computed with. The tensor
    /// lives as long as the file.
    pub(super) fn constant(&mut self, proto: &TensorProto) -> Result<Value, Error> {
        let address = std::ptr::from_ref(proto);
        if let Some(value) = self.attributes.get(&address) {
            return Ok(value.clone());
        }
        self.account_for(proto, tensor::is_float(proto))?;
        let constant = tensor::constant(proto, self.folder)?;
        let value = self.add_constant(constant)?;
        self.attributes.insert(address, value.clone());
        Ok(value)
    }

    /// A constant that is stored without its zeros.
    pub(super) fn sparse_constant(&mut self, proto: &SparseTensorProto) -> Result<Value, Error> {
        let (values, indices) = proto.parts()?;
        self.account_for(values, tensor::is_float(values))?;
        self.account_for(indices, false)?;
        self.spend::<Number>(elements(&proto.extents()?)?)?;
        let constant = sparse::dense(proto, self.folder)?;
        self.add_constant(constant)
    }

    fn add_constant(&mut self, constant: Decoded) -> Result<Value, Error> {
        Ok(match constant {
            Decoded::Real(tensor) => Value::Node(self.graph.constant(tensor).map_err(invalid)?),
            Decoded::Other(value) => Value::Const(value),
        })
    }

    /// A value as a node of the graph.
    pub(super) fn node_of(&mut self, value: &Value) -> Result<ValueId, Error> {
        let constant = match value {
            Value::Node(id) => return Ok(*id),
            Value::Const(constant) => constant,
        };
        if !constant.data.iter().all(|n| n.is_fixed()) {
            return Err(Error::unsupported(
                "the symbolic batch size is used as a value of the graph",
            ));
        }
        self.spend::<f32>(constant.data.len())?;
        let data: Vec<f32> = constant.data.iter().map(|n| n.value as f32).collect();
        let tensor = Tensor::new(constant.shape.clone(), data).map_err(invalid)?;
        let id = self.graph.constant(tensor).map_err(invalid)?;
        match constant.kind {
            Kind::Bool => {
                let zero = self.graph.scalar(0.0).map_err(invalid)?;
                self.graph
                    .compare(Compare::Greater, id, zero)
                    .map_err(invalid)
            }
            Kind::Float | Kind::Int => Ok(id),
        }
    }

    /// The elements of a value, if it is a constant of not too many.
    pub(super) fn const_of(&self, value: &Value) -> Option<Arc<ConstValue>> {
        match value {
            Value::Const(constant) => Some(Arc::clone(constant)),
            Value::Node(id) => {
                let tensor = self.graph.constant_value(*id)?;
                let small = tensor.data().len() <= LARGEST_FOLDED;
                small.then(|| {
                    Arc::new(ConstValue {
                        kind: Kind::Float,
                        shape: tensor.shape().to_vec(),
                        data: tensor
                            .data()
                            .iter()
                            .map(|&v| Number::fixed(f64::from(v)))
                            .collect(),
                    })
                })
            }
        }
    }

    /// How many numbers [`Builder::const_of`] may copy of a value.
    pub(super) fn const_len(&self, value: &Value) -> usize {
        match value {
            Value::Const(constant) => constant.data.len(),
            Value::Node(id) => {
                let constant = self.graph.constant_value(*id);
                let len = constant.map_or(0, |tensor| tensor.data().len());
                if len <= LARGEST_FOLDED { len } else { 0 }
            }
        }
    }

    pub(super) fn shape_of(&self, value: &Value) -> Shape {
        match value {
            Value::Node(id) => self.graph.shape(*id).clone(),
            Value::Const(constant) => Shape::fixed(&constant.shape),
        }
    }
}

/// Adding nodes: the graph's errors become this crate's.
///
/// A file may lay images side by side in an order that graphs do not have: `[L, N, C]` read as
/// `[L·N, C]` puts the same position of all images together. The graph then holds the rows image
/// by image, and [`Builder::interleaved`] remembers how many positions were taken together until
/// they are told apart again. All other operators work on each row alone, or are refused.
impl Builder<'_> {
    pub(super) fn op(&mut self, op: Op, operands: &[ValueId]) -> Built {
        let batched = operands
            .iter()
            .filter(|&&v| is_batched(self.graph.shape(v).dims()));
        let mut positions = batched.map(|&v| self.positions(v));
        let first = positions.next();
        if positions.any(|other| Some(other) != first) {
            return Err(Error::unsupported(
                "its operands hold the images of a batch in different orders",
            ));
        }
        if let Some(constant) = self.folded(&op, operands)? {
            return self.graph.constant(constant).map_err(invalid);
        }
        let value = self.graph.add(op, operands).map_err(invalid)?;
        self.interleave(value, first.unwrap_or(1));
        Ok(value)
    }

    /// The result, where it is small and depends on constants only: a later node may have to know
    /// it.
    fn folded(&mut self, op: &Op, operands: &[ValueId]) -> Result<Option<Tensor>, Error> {
        let constants = operands
            .iter()
            .map(|&v| self.graph.constant_value(v).cloned());
        let Some(constants) = constants.collect::<Option<Vec<Tensor>>>() else {
            return Ok(None);
        };
        let mut alone = Graph::new();
        let constants = constants.into_iter().map(|t| alone.constant(t));
        let constants: Vec<ValueId> = constants.collect::<Result<_, _>>().map_err(invalid)?;
        let value = alone.add(op.clone(), &constants).map_err(invalid)?;
        let count: Option<usize> = alone.shape(value).as_fixed().map(|s| s.iter().product());
        let Some(..=LARGEST_FOLDED) = count else {
            return Ok(None);
        };
        let costs = alone.values().map(|v| interpretation(&alone, v));
        let cost = costs.fold((0u64, 0u64), |(bytes, work), cost| {
            (
                bytes.saturating_add(cost.bytes),
                work.saturating_add(cost.work),
            )
        });
        if cost.1 > MOST_FOLDING_WORK {
            return Ok(None);
        }
        self.spend::<u8>(usize::try_from(cost.0).unwrap_or(usize::MAX))?;
        alone.output("value", value);
        match interpret::<f64>(&alone, &[]).map_err(invalid)?.pop() {
            Some(odin_graph::Value::Float(array)) => {
                let data: Vec<f32> = array.floats().iter().map(|&v| v as f32).collect();
                let folded = Tensor::new(array.shape().to_vec(), data);
                folded.map(Some).map_err(invalid)
            }
            _ => Ok(None),
        }
    }

    /// How many positions of an image lie side by side with those of the others.
    fn positions(&self, value: ValueId) -> usize {
        self.interleaved.get(&value).copied().unwrap_or(1)
    }

    fn interleave(&mut self, value: ValueId, positions: usize) {
        if positions > 1 && is_batched(self.graph.shape(value).dims()) {
            self.interleaved.insert(value, positions);
        }
    }

    /// Whether the images lie one after the other.
    pub(super) fn is_in_order(&self, value: ValueId) -> bool {
        self.positions(value) == 1
    }

    pub(super) fn scalar(&mut self, value: f32) -> Built {
        self.graph.scalar(value).map_err(invalid)
    }

    pub(super) fn rank(&self, x: ValueId) -> usize {
        self.graph.shape(x).rank()
    }

    pub(super) fn expand(&mut self, x: ValueId, shape: Shape) -> Built {
        let positions = self.positions(x);
        let value = self.op(Op::Expand(shape), &[x])?;
        self.interleave(value, positions);
        Ok(value)
    }

    pub(super) fn reduce(
        &mut self,
        x: ValueId,
        kind: ReduceKind,
        axes: Vec<usize>,
        keep_dims: bool,
    ) -> Built {
        let reduce = Reduce {
            kind,
            axes,
            keep_dims,
        };
        self.op(Op::Reduce(reduce), &[x])
    }

    pub(super) fn pad(&mut self, x: ValueId, axes: Vec<PadAxis>, value: f32) -> Built {
        self.op(Op::Pad(Pad { axes, value }), &[x])
    }

    /// The same elements under another shape.
    pub(super) fn reshape(&mut self, x: ValueId, shape: Shape) -> Built {
        let own = Batch::of(self.graph.shape(x).dims(), self.positions(x));
        let wanted = Batch::of(shape.dims(), 1);
        let (Some(own), Some(wanted)) = (own, wanted) else {
            return self.op(Op::Reshape(shape), &[x]);
        };
        let same = own.outer == wanted.outer * own.positions;
        if own.positions > 1 && same && own.per_image * own.positions == wanted.per_image {
            return self.op(Op::Reshape(shape), &[x]);
        }
        let x = self.apart(x, own)?;
        match own.joined(wanted) {
            Some(1) | None => self.op(Op::Reshape(shape), &[x]),
            Some(positions) => self.together(x, own, positions, shape),
        }
    }

    /// Tells positions that were taken together apart again: `[A, N·m, B]` to `[A, m, N, B]`.
    fn apart(&mut self, x: ValueId, own: Batch) -> Built {
        if own.positions == 1 {
            return Ok(x);
        }
        let outer = own.outer / own.positions;
        let split = own.dims(
            [Dim::Fixed(outer), Dim::PerImage(own.per_image)],
            own.positions,
        );
        let split = self.graph.reshape(x, split).map_err(invalid)?;
        let swapped = Op::Transpose(vec![0, 2, 1, 3]);
        self.graph.add(swapped, &[split]).map_err(invalid)
    }

    /// Takes `positions` positions together: `[A, m, N, B]` to `[A, N·m, B]`.
    fn together(&mut self, x: ValueId, own: Batch, positions: usize, shape: Shape) -> Built {
        let outer = Dim::Fixed(own.outer / positions);
        let split = Shape::new([
            outer,
            Dim::Fixed(positions),
            Dim::PerImage(own.per_image),
            Dim::Fixed(own.inner),
        ]);
        let split = self.graph.reshape(x, split).map_err(invalid)?;
        let swapped = Op::Transpose(vec![0, 2, 1, 3]);
        let swapped = self.graph.add(swapped, &[split]).map_err(invalid)?;
        let value = self.graph.reshape(swapped, shape).map_err(invalid)?;
        self.interleave(value, positions);
        Ok(value)
    }

    /// Whether the elements of `x` can be read as `dims` without mixing images.
    pub(super) fn can_reshape(&self, x: ValueId, dims: &[Dim]) -> bool {
        let own = Batch::of(self.graph.shape(x).dims(), self.positions(x));
        match (own, Batch::of(dims, 1)) {
            (Some(own), Some(wanted)) => own.joined(wanted).is_some(),
            (own, wanted) => own.is_some() == wanted.is_some(),
        }
    }

    /// Elements outside of the batch axis, and entries of that axis for each image, as the file
    /// lays them out.
    pub(super) fn batch_of(&self, x: ValueId) -> Option<Batch> {
        Batch::of(self.graph.shape(x).dims(), self.positions(x))
    }
}

pub(super) fn is_batched(dims: &[Dim]) -> bool {
    dims.iter().any(|d| d.fixed().is_none())
}

fn product(dims: &[Dim]) -> usize {
    dims.iter().fold(1, |n, d| n.saturating_mul(d.at(1)))
}

/// A shape seen as `[outer, per_image · N, inner]`, as the file lays it out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) outer: usize,
    pub(super) per_image: usize,
    pub(super) inner: usize,
    /// How much of `outer` the graph holds inside of the batch axis.
    positions: usize,
}

impl Batch {
    fn of(dims: &[Dim], positions: usize) -> Option<Self> {
        let at = dims.iter().position(|d| d.fixed().is_none())?;
        Some(Self {
            outer: product(&dims[..at]).saturating_mul(positions),
            per_image: dims[at].at(1) / positions,
            inner: product(&dims[at + 1..]),
            positions,
        })
    }

    fn dims(self, lead: [Dim; 2], positions: usize) -> Shape {
        let [outer, batch] = lead;
        Shape::new([outer, batch, Dim::Fixed(positions), Dim::Fixed(self.inner)])
    }

    /// How many positions reading this as `wanted` takes together; 1 when none. `None` when that
    /// would mix images in a way that no order undoes.
    fn joined(self, wanted: Batch) -> Option<usize> {
        if self.outer == wanted.outer {
            return Some(1);
        }
        let positions = self.outer.checked_div(wanted.outer)?;
        let whole = positions * wanted.outer == self.outer;
        (whole && wanted.per_image == self.per_image.saturating_mul(positions)).then_some(positions)
    }
}

/// A node that the graph does not accept: the file's attributes and shapes do not fit.
pub(super) fn invalid(error: odin_graph::Error) -> Error {
    Error::unsupported(error.to_string())
}
