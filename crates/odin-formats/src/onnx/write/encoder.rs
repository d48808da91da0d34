//! The state of a file that is being written: names, nodes, constants.

use super::form::Form;
use super::half::{Typing, half_values};
use super::names::Names;
use super::weights::{Packing, packing, role};
use crate::Error;
use crate::onnx::photo::Photo;
use crate::onnx::proto::{NodeProto, TensorProto, data_type};
use odin_graph::{DType, Dim, Graph, Tensor, ValueId};
use prost::bytes::Bytes;
use std::collections::HashMap;

/// What the file's input holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InputType {
    /// 32-bit real numbers.
    #[default]
    Float,
    /// Bytes, which the file itself turns into real numbers 0 to 255.
    Byte,
    /// Bytes of photos of any size, `[N, height, width, C]`, which the file itself resizes and crops
    /// as well. The graph takes them as [`Photo::shape`] says, 0 to 255.
    Photo(Photo),
}

/// Writes the nodes of a graph one after the other.
pub(super) struct Encoder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) input: &'a InputType,
    pub(super) names: Names,
    /// Whether a value is computed in 16 bits.
    pub(super) half: Vec<bool>,
    /// The name of each value written so far.
    pub(super) values: Vec<Option<String>>,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<TensorProto>,
    /// The name of the initializer of each content.
    stored: HashMap<Content, String>,
    /// The ways in which each constant is read, and the name for each.
    packings: HashMap<String, Vec<(Packing, String)>>,
    /// What was cast, by what it was to be called.
    pub(super) casts: HashMap<String, String>,
    /// The name of the number of images, a tensor `[1]`, once it is needed.
    batch_size: Option<String>,
}

/// Element type, shape and data.
type Content = (i32, Vec<i64>, Bytes);

impl<'a> Encoder<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        input: &'a InputType,
        typing: Typing,
    ) -> Result<Self, Error> {
        let mut names = Names::default();
        let inputs = graph.inputs().map(|(_, i)| &i.name);
        for name in inputs.chain(graph.outputs().iter().map(|o| &o.name)) {
            if !names.reserve(name) {
                return Err(Error::unsupported(format!(
                    "two inputs or outputs of the graph are named {name:?}; names in an ONNX file are unique"
                )));
            }
        }
        Ok(Self {
            graph,
            input,
            names,
            half: half_values(graph, typing),
            values: vec![None; graph.nodes().len()],
            nodes: Vec::new(),
            initializers: Vec::new(),
            stored: HashMap::new(),
            packings: HashMap::new(),
            casts: HashMap::new(),
            batch_size: None,
        })
    }

    /// Adds a node that no value of the graph stands for; returns the name of its output.
    pub(super) fn add(&mut self, form: Form, wanted: &str) -> String {
        let name = self.names.unique(wanted);
        self.push(form, &name);
        name
    }

    /// Adds a node under the name of its output.
    pub(super) fn push(&mut self, form: Form, name: &str) {
        let node = form.into_node(name.to_string(), name.to_string());
        self.nodes.push(node);
    }

    /// The name of a value that is computed or given.
    pub(super) fn value(&self, value: ValueId) -> String {
        self.values[value.index()].clone().unwrap_or_default()
    }

    /// The name of an operand in the type that its reader computes in; a constant is called after the
    /// first node that reads it.
    pub(super) fn operand(&mut self, reader: ValueId, position: usize) -> String {
        let name = self.untyped(reader, position);
        let operand = self.graph.node(reader).operands[position];
        let is_real = self.graph.ty(operand).dtype == DType::Float;
        match is_real {
            true => self.typed(name, self.half[operand.index()], reader),
            false => name,
        }
    }

    fn untyped(&mut self, reader: ValueId, position: usize) -> String {
        let node = self.graph.node(reader);
        let operand = node.operands[position];
        let Some(tensor) = self.graph.constant_value(operand) else {
            return self.value(operand);
        };
        let wanted = match (tensor.data(), node.origin.as_str()) {
            ([number], _) => format!("constant/{number}"),
            (_, "") => role(&node.op, position).to_string(),
            (_, origin) => format!("{origin}.{}", role(&node.op, position)),
        };
        let name = self.constant(tensor, &wanted);
        match packing(&node.op, position) {
            Some(packing) if tensor.shape().len() > 1 => self.packed(name, packing),
            _ => name,
        }
    }

    /// The name under which a constant is read in this way: its own for the first way, negated
    /// twice for each other. OpenVINO (seen in 2026.4) keeps one packed copy of a square matrix
    /// that several operators share, although each packs it in its own way, and computes wrong
    /// results. An operator in between that it folds, but does not see through, makes it two
    /// matrices there and one in the file.
    fn packed(&mut self, constant: String, packing: Packing) -> String {
        let known = self.packings.entry(constant.clone()).or_default();
        if let Some((_, name)) = known.iter().find(|(known, _)| *known == packing) {
            return name.clone();
        }
        let name = match known.is_empty() {
            true => constant.clone(),
            false => {
                let wanted = format!("{constant}/Neg");
                let negative = self.add(Form::new("Neg").input(&constant), &wanted);
                self.add(Form::new("Neg").input(negative), &wanted)
            }
        };
        let known = self.packings.entry(constant).or_default();
        known.push((packing, name.clone()));
        name
    }

    pub(super) fn constant(&mut self, tensor: &Tensor, wanted: &str) -> String {
        let dims = tensor.shape().iter().map(|&d| d as i64).collect();
        let data: Vec<u8> = tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer((data_type::FLOAT, dims, data.into()), wanted)
    }

    /// The name of a list of integers, as operators take them for shapes and axes.
    pub(super) fn integers(&mut self, list: &[i64], wanted: &str) -> String {
        let data: Vec<u8> = list.iter().flat_map(|v| v.to_le_bytes()).collect();
        let dims = vec![list.len() as i64];
        self.initializer((data_type::INT64, dims, data.into()), wanted)
    }

    /// The name of a list of real numbers.
    pub(super) fn numbers(&mut self, list: &[f32], wanted: &str) -> String {
        self.constant(&Tensor::vector(list), wanted)
    }

    /// The name of a real number.
    pub(super) fn number(&mut self, number: f32) -> String {
        self.constant(&Tensor::scalar(number), &format!("constant/{number}"))
    }

    fn initializer(&mut self, content: Content, wanted: &str) -> String {
        if let Some(name) = self.stored.get(&content) {
            return name.clone();
        }
        let name = self.names.unique(wanted);
        let (data_type, dims, data) = content.clone();
        self.initializers.push(TensorProto {
            name: name.clone(),
            data_type,
            dims,
            raw_data: Some(data),
            ..TensorProto::default()
        });
        self.stored.insert(content, name.clone());
        name
    }

    /// The name of the number of images, a tensor `[1]`, read from the shape of an input;
    /// `None` when no input has a batch.
    pub(super) fn batch_size(&mut self) -> Option<String> {
        if self.batch_size.is_none() {
            self.batch_size = Some(self.read_batch_size()?);
        }
        self.batch_size.clone()
    }

    fn read_batch_size(&mut self) -> Option<String> {
        let per_image = |dim: &Dim| match dim {
            Dim::PerImage(k) => Some(*k as i64),
            Dim::Fixed(_) => None,
        };
        let (name, axis, entries) = self.graph.inputs().find_map(|(_, input)| {
            let mut axes = input.ty.shape.dims().iter().map(per_image).enumerate();
            axes.find_map(|(axis, k)| Some((&input.name, axis as i64, k?)))
        })?;
        let shape = self.add(Form::new("Shape").input(name), "batch/Shape");
        let axis = self.integers(&[axis], "batch/axis");
        let extent = Form::new("Gather").input(shape).input(axis).int("axis", 0);
        let extent = self.add(extent, "batch/Gather");
        Some(match entries {
            1 => extent,
            _ => {
                let entries = self.integers(&[entries], "batch/entries");
                let images = Form::new("Div").input(extent).input(entries);
                self.add(images, "batch/Div")
            }
        })
    }
}
