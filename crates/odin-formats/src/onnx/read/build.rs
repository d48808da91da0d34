//! Adds operators to the graph that is being read.

use super::import::{Importer, LARGEST_KNOWN, invalid};
use crate::Error;
use odin_graph::op::{Pad, PadAxis, Reduce, ReduceKind};
use odin_graph::{Dim, Graph, Op, Shape, Tensor, ValueId, interpret};

type Built = Result<ValueId, Error>;

/// Shorthand for adding nodes: the graph's errors become this crate's.
///
/// A file may lay images side by side in an order that graphs do not have: `[L, N, C]` read as
/// `[L·N, C]` puts the same position of all images together. The graph then holds the rows image
/// by image, and [`Importer::interleaved`] remembers how many positions were taken together until
/// they are told apart again. All other operators work on each row alone, or are refused.
impl Importer<'_> {
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
        let count = alone.shape(value).as_fixed().map(|s| s.iter().product());
        let Some(count @ ..=LARGEST_KNOWN) = count else {
            return Ok(None);
        };
        self.spend(count)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type};
    use crate::onnx::read::import::Value;
    use odin_graph::{Array, Type};

    /// Positions that were taken together stay in order through operators that change the shape:
    /// `y[n, l] = x[n, 2l + 1]`, picked while the rows of all images lie side by side.
    #[test]
    fn rows_side_by_side_come_back_in_order() {
        let ints = |name: &str, dims: &[i64], data: &[i64]| TensorProto {
            name: name.to_string(),
            dims: dims.to_vec(),
            data_type: crate::onnx::proto::data_type::INT64,
            int64_data: data.to_vec(),
            ..TensorProto::default()
        };
        let node =
            |op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| NodeProto {
                op_type: op.to_string(),
                input: inputs.iter().map(|i| i.to_string()).collect(),
                output: vec![output.to_string()],
                attribute,
                ..NodeProto::default()
            };
        let perm = |ints: &[i64]| AttributeProto {
            name: "perm".to_string(),
            r#type: attribute_type::INTS,
            ints: ints.to_vec(),
            ..AttributeProto::default()
        };
        let axis = AttributeProto {
            name: "axis".to_string(),
            r#type: attribute_type::INT,
            i: 1,
            ..AttributeProto::default()
        };
        let graph = GraphProto {
            initializer: vec![
                ints("apart", &[3], &[-1, 3, 2]),
                ints("rows", &[2], &[-1, 2]),
                ints("second", &[], &[1]),
                ints("back", &[2], &[3, -1]),
            ],
            ..GraphProto::default()
        };
        let nodes = [
            node("Reshape", &["x", "apart"], "a", vec![]),
            node("Transpose", &["a"], "b", vec![perm(&[1, 0, 2])]),
            node("Reshape", &["b", "rows"], "c", vec![]),
            node("Gather", &["c", "second"], "d", vec![axis]),
            node("Reshape", &["d", "back"], "e", vec![]),
            node("Transpose", &["e"], "y", vec![perm(&[1, 0])]),
        ];
        let mut importer = Importer::new(&graph, &[], 17, None, 1000);
        let x = Type::float(Shape::batched(&[6]));
        let x = importer.graph.input("x", x).unwrap();
        importer.define("x", Value::Node(x));
        importer.nodes(&nodes, 0);
        importer.check().unwrap();
        let Value::Node(y) = importer.value("y").unwrap() else {
            panic!("it depends on the input");
        };
        assert!(importer.is_in_order(y));
        importer.graph.output("y", y);
        let images = Array::new(vec![2, 6], (0..12).map(f64::from).collect());
        let found = interpret(&importer.graph, &[("x", images)]).unwrap();
        assert_eq!(found[0].floats(), [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
        assert_eq!(found[0].array().shape(), [2, 3]);
    }
}
