//! Writes the ONNX model: the nodes, inputs and outputs, operator-set version, metadata.

use super::encoder::{Encoder, InputType};
use super::half::Typing;
use crate::Error;
use crate::onnx::photo::PROPERTY;
use crate::onnx::proto::*;
use odin_graph::{DType, Dim, Graph, Type, passes};
use prost::Message;

/// The version of the standard operators that files are written in. Old enough for every
/// runtime in use, new enough for all operators of a graph.
pub const OPSET: i64 = 17;

/// The version of the file format; the oldest that goes with [`OPSET`].
const IR_VERSION: i64 = 8;

/// A message of protocol buffers ends at 2 GiB.
const MAX_BYTES: usize = i32::MAX as usize;

/// What a file says of itself, beside the graph.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// The name of the graph.
    pub name: String,
    /// The version of the program that wrote it.
    pub producer_version: String,
    /// Metadata properties, in order.
    pub metadata: Vec<(String, String)>,
}

/// Encodes a graph as an ONNX file of the operators of [`OPSET`]. Inputs and outputs keep
/// their names, the axis of the batch is named `N` and stays open, and constants of equal
/// content are stored once, whatever the number of their uses.
///
/// The gradient of a maximum pool, which ONNX lacks, is written in operators that it has.
///
/// # Errors
/// When an operator has no ONNX form, which names the node; when an input and an output have
/// one name; when the file would exceed 2 GiB.
pub fn write(graph: &Graph, input: InputType, labels: &Labels) -> Result<Vec<u8>, Error> {
    write_typed(graph, input, Typing::Float, labels)
}

/// As [`write()`], with the types that the file computes in. Its inputs and outputs are the same.
///
/// # Errors
/// As [`write()`].
pub fn write_typed(
    graph: &Graph,
    input: InputType,
    typing: Typing,
    labels: &Labels,
) -> Result<Vec<u8>, Error> {
    let graph = passes::expand_max_pool_grad(graph)
        .and_then(|expanded| passes::eliminate_dead_code(&expanded))
        .map_err(|e| Error::unsupported(e.to_string()))?;
    let encoded = Encoder::new(&graph, &input, typing)?.encode()?;
    let inputs = graph.inputs().map(|(_, i)| match &input {
        InputType::Float => value_info(&i.name, element_type(i.ty.dtype), &i.ty),
        InputType::Byte => value_info(&i.name, data_type::UINT8, &i.ty),
        InputType::Photo(photo) => photo.input(&i.name),
    });
    let outputs = graph.outputs().iter().map(|output| {
        let ty = graph.ty(output.value);
        value_info(&output.name, element_type(ty.dtype), ty)
    });
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "odin".to_string(),
        producer_version: labels.producer_version.clone(),
        graph: Some(GraphProto {
            name: labels.name.clone(),
            input: inputs.collect(),
            output: outputs.collect(),
            node: encoded.nodes,
            initializer: encoded.initializers,
            ..GraphProto::default()
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: properties(labels, &input),
        ..ModelProto::default()
    };
    match model.encoded_len() {
        0..=MAX_BYTES => Ok(model.encode_to_vec()),
        bytes => Err(Error::unsupported(format!(
            "the ONNX file would have {bytes} bytes; one file holds at most {MAX_BYTES}"
        ))),
    }
}

fn properties(labels: &Labels, input: &InputType) -> Vec<StringStringEntryProto> {
    let of_photo = match input {
        InputType::Photo(photo) => Some((PROPERTY.to_string(), photo.to_string())),
        _ => None,
    };
    labels
        .metadata
        .iter()
        .chain(&of_photo)
        .map(property)
        .collect()
}

fn property((key, value): &(String, String)) -> StringStringEntryProto {
    let (key, value) = (key.clone(), value.clone());
    StringStringEntryProto { key, value }
}

fn element_type(dtype: DType) -> i32 {
    match dtype {
        DType::Int => data_type::INT64,
        DType::Bool => data_type::BOOL,
        _ => data_type::FLOAT,
    }
}

fn value_info(name: &str, elem_type: i32, ty: &Type) -> ValueInfoProto {
    let extent = |dim: &Dim| match dim {
        Dim::Fixed(k) => Extent::Value(*k as i64),
        Dim::PerImage(_) => Extent::Name(dim.to_string()),
    };
    let dim = ty.shape.dims().iter().map(|dim| Dimension {
        value: Some(extent(dim)),
    });
    let tensor_type = Some(TypeTensor {
        elem_type,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    });
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { tensor_type }),
    }
}
