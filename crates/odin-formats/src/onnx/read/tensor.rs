//! Tensors of a file: initializers, embedded or in external data.

use super::const_value::{ConstValue, Kind, check_rank, elements};
use super::external::Place;
use super::number::Number;
use super::topology::reads;
use crate::onnx::proto::{NodeProto, TensorProto, data_type};
use crate::{Error, ErrorKind};
use half::{bf16, f16};
use odin_graph::Tensor;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The extents of a tensor.
pub(super) fn extents(dims: &[i64]) -> Result<Vec<usize>, Error> {
    check_rank(dims.len())?;
    let dims = dims.iter();
    dims.map(|&d| {
        usize::try_from(d).map_err(|_| Error::corrupt(format!("an extent cannot be {d}")))
    })
    .collect()
}

pub(super) fn is_float(tensor: &TensorProto) -> bool {
    use data_type::*;
    matches!(tensor.data_type, FLOAT | DOUBLE | FLOAT16 | BFLOAT16)
}

/// How many bytes an element takes in raw data.
fn width(data_type: i32) -> Result<usize, Error> {
    use data_type::*;
    match data_type {
        UINT8 | INT8 | BOOL => Ok(1),
        UINT16 | INT16 | FLOAT16 | BFLOAT16 => Ok(2),
        FLOAT | INT32 | UINT32 => Ok(4),
        DOUBLE | INT64 | UINT64 => Ok(8),
        other => Err(Error::unsupported(format!(
            "elements of {} are not read",
            type_name(other)
        ))),
    }
}

/// How many bytes the elements take in raw data.
pub(super) fn len_in_bytes(tensor: &TensorProto) -> Result<usize, Error> {
    let count = elements(&extents(&tensor.dims)?)?;
    let bytes = count.checked_mul(width(tensor.data_type)?);
    bytes.ok_or_else(|| Error::corrupt("a tensor is too large"))
}

/// The name of an element type in the ONNX standard.
pub(super) fn type_name(data_type: i32) -> String {
    use data_type::*;
    let name = match data_type {
        FLOAT => "float",
        UINT8 => "uint8",
        INT8 => "int8",
        UINT16 => "uint16",
        INT16 => "int16",
        INT32 => "int32",
        INT64 => "int64",
        STRING => "string",
        BOOL => "bool",
        FLOAT16 => "float16",
        DOUBLE => "double",
        UINT32 => "uint32",
        UINT64 => "uint64",
        BFLOAT16 => "bfloat16",
        other => return format!("type number {other}"),
    };
    name.to_string()
}

/// Constant data, decoded.
#[derive(Debug, Clone)]
pub(super) enum Decoded {
    /// Real numbers, which become a part of the graph.
    Real(Tensor),
    /// Integers and truth values, which the reader computes with.
    Other(Arc<ConstValue>),
}

/// Constant data of any type.
pub(super) fn constant(tensor: &TensorProto, folder: Option<&Path>) -> Result<Decoded, Error> {
    if !is_float(tensor) {
        let value = const_value(tensor, folder)?;
        return Ok(Decoded::Other(Arc::new(value)));
    }
    real(tensor, folder)
}

/// Constant data as real numbers.
fn real(tensor: &TensorProto, folder: Option<&Path>) -> Result<Decoded, Error> {
    let data = floats(tensor, folder)?;
    if let Some(bad) = data.data().iter().find(|v| v.is_nan()) {
        let message = format!("it holds {bad}; a classifier needs numbers");
        return Err(Error::new(ErrorKind::NotFinite, message));
    }
    Ok(Decoded::Real(data))
}

impl Decoded {
    /// The memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Real(tensor) => size_of_val(tensor.data()),
            Self::Other(value) => size_of_val(&value.data[..]),
        };
        bytes as u64
    }
}

/// The initializers of a file, each decoded when it is first needed.
#[derive(Debug)]
pub(super) struct Weights {
    decoded: Vec<OnceLock<Result<Decoded, Error>>>,
    /// Those that are only dequantised: integers of a byte, which as numbers that the reader
    /// computes with would take 24 times the memory.
    quantized: Vec<bool>,
}

impl Weights {
    /// None of them is decoded yet.
    pub(super) fn of(initializers: &[TensorProto], nodes: &[NodeProto]) -> Self {
        let mut others: HashSet<&str> = HashSet::new();
        let mut dequantized: HashSet<&str> = HashSet::new();
        for node in nodes {
            let only = node.op_type == "DequantizeLinear";
            let mut names = reads(node).into_iter();
            dequantized.extend(names.next().filter(|_| only));
            others.extend(node.input.first().filter(|_| !only).map(String::as_str));
            others.extend(names);
        }
        let is_quantized = |tensor: &TensorProto| {
            let name = tensor.name.as_str();
            let byte = matches!(tensor.data_type, data_type::INT8 | data_type::UINT8);
            byte && dequantized.contains(name) && !others.contains(name)
        };
        Self {
            decoded: initializers.iter().map(|_| OnceLock::new()).collect(),
            quantized: initializers.iter().map(is_quantized).collect(),
        }
    }

    /// Whether the `i`-th initializer, which is `tensor`, is decoded to real numbers.
    pub(super) fn is_real(&self, i: usize, tensor: &TensorProto) -> bool {
        is_float(tensor) || self.quantized.get(i) == Some(&true)
    }

    /// The `i`-th initializer, if it has been needed.
    pub(super) fn decoded(&self, i: usize) -> Option<&Decoded> {
        self.decoded.get(i)?.get()?.as_ref().ok()
    }

    /// The `i`-th initializer, which is `tensor`.
    pub(super) fn get(
        &self,
        i: usize,
        tensor: &TensorProto,
        folder: Option<&Path>,
    ) -> Result<Decoded, Error> {
        let decode = || match self.is_real(i, tensor) {
            true => real(tensor, folder),
            false => constant(tensor, folder),
        };
        match self.decoded.get(i) {
            Some(weight) => weight.get_or_init(decode).clone(),
            None => decode(),
        }
    }
}

/// Real numbers, as f32.
fn floats(tensor: &TensorProto, folder: Option<&Path>) -> Result<Tensor, Error> {
    let shape = extents(&tensor.dims)?;
    let numbers = numbers(tensor, &shape, folder)?;
    let data: Vec<f32> = match numbers {
        Numbers::Float(data) => data,
        Numbers::Double(data) => data.into_iter().map(|v| v as f32).collect(),
        Numbers::Int(data) => data.into_iter().map(|v| v as f32).collect(),
    };
    Tensor::new(shape, data).map_err(|e| Error::corrupt(e.to_string()))
}

/// Numbers of any type, as the reader computes with them.
pub(super) fn const_value(
    tensor: &TensorProto,
    folder: Option<&Path>,
) -> Result<ConstValue, Error> {
    let shape = extents(&tensor.dims)?;
    let data: Vec<f64> = match numbers(tensor, &shape, folder)? {
        Numbers::Float(data) => data.into_iter().map(f64::from).collect(),
        Numbers::Double(data) => data,
        Numbers::Int(data) => data.into_iter().map(|v| v as f64).collect(),
    };
    let kind = match tensor.data_type {
        data_type::BOOL => Kind::Bool,
        _ if is_float(tensor) => Kind::Float,
        _ => Kind::Int,
    };
    let data = data.into_iter().map(Number::fixed).collect();
    Ok(ConstValue { kind, shape, data })
}

enum Numbers {
    Float(Vec<f32>),
    Double(Vec<f64>),
    Int(Vec<i64>),
}

fn numbers(tensor: &TensorProto, shape: &[usize], folder: Option<&Path>) -> Result<Numbers, Error> {
    let (count, bytes) = (elements(shape)?, len_in_bytes(tensor)?);
    let numbers = match (Place::of(tensor, folder)?, &tensor.raw_data) {
        (Some(place), _) => from_bytes(tensor.data_type, &place.read(bytes)?)?,
        (None, Some(raw)) => from_bytes(tensor.data_type, raw)?,
        (None, None) => from_fields(tensor),
    };
    let found = match &numbers {
        Numbers::Float(data) => data.len(),
        Numbers::Double(data) => data.len(),
        Numbers::Int(data) => data.len(),
    };
    match found == count {
        true => Ok(numbers),
        false => Err(Error::corrupt(format!(
            "a tensor of shape {shape:?} holds {found} elements; the file is damaged"
        ))),
    }
}

fn from_fields(tensor: &TensorProto) -> Numbers {
    use data_type::*;
    let t = tensor;
    let halves = || t.int32_data.iter().map(|&v| v as u16);
    match t.data_type {
        FLOAT => Numbers::Float(t.float_data.clone()),
        DOUBLE => Numbers::Double(t.double_data.clone()),
        FLOAT16 => Numbers::Float(halves().map(|v| f16::from_bits(v).to_f32()).collect()),
        BFLOAT16 => Numbers::Float(halves().map(|v| bf16::from_bits(v).to_f32()).collect()),
        INT64 => Numbers::Int(t.int64_data.clone()),
        UINT32 | UINT64 => Numbers::Int(t.uint64_data.iter().map(|&v| v as i64).collect()),
        _ => Numbers::Int(t.int32_data.iter().map(|&v| i64::from(v)).collect()),
    }
}

fn from_bytes(data_type: i32, bytes: &[u8]) -> Result<Numbers, Error> {
    use data_type::*;
    macro_rules! read {
        ($ty:ty, $kind:ident, $convert:expr) => {{
            let (chunks, _) = bytes.as_chunks::<{ size_of::<$ty>() }>();
            Numbers::$kind(
                chunks
                    .iter()
                    .map(|b| $convert(<$ty>::from_le_bytes(*b)))
                    .collect(),
            )
        }};
    }
    if !bytes.len().is_multiple_of(width(data_type)?) {
        return Err(Error::corrupt("raw data ends within an element"));
    }
    Ok(match data_type {
        FLOAT => read!(f32, Float, |v| v),
        DOUBLE => read!(f64, Double, |v| v),
        FLOAT16 => read!(f16, Float, f16::to_f32),
        BFLOAT16 => read!(bf16, Float, bf16::to_f32),
        INT8 => read!(i8, Int, i64::from),
        UINT16 => read!(u16, Int, i64::from),
        INT16 => read!(i16, Int, i64::from),
        INT32 => read!(i32, Int, i64::from),
        UINT32 => read!(u32, Int, i64::from),
        INT64 => read!(i64, Int, |v| v),
        UINT64 => read!(u64, Int, |v| v as i64),
        _ => read!(u8, Int, i64::from),
    })
}
