//! Reads an inference request: JSON, and tensors in binary form behind it.

use crate::base64_images;
use crate::infer::{Datatype, InputTensor};
use crate::refusal::Refusal;
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use serde::de::{DeserializeOwned, DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;
use utoipa::ToSchema;

/// The length of the JSON in front of binary tensors.
pub(super) const HEADER_LENGTH: HeaderName =
    HeaderName::from_static("inference-header-content-length");

/// An inference request.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct InferRequest {
    /// What the answer repeats.
    #[serde(default)]
    id: Option<String>,
    /// `binary_data_output`: whether outputs are in binary form unless they say otherwise.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    parameters: Map<String, Value>,
    /// One of the detector's inputs.
    #[schema(min_items = 1, max_items = 1)]
    inputs: Vec<RequestInput>,
    /// The outputs wanted; all unless given.
    #[serde(default)]
    outputs: Vec<RequestOutput>,
}

/// An input tensor.
#[derive(Debug, Deserialize, ToSchema)]
struct RequestInput {
    #[schema(example = "images")]
    name: String,
    #[schema(example = "BYTES")]
    datatype: String,
    #[schema(example = json!([1]))]
    shape: Vec<u64>,
    /// `binary_data_size`: the bytes of the tensor in binary form.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    parameters: Map<String, Value>,
    /// The values, nested by the axes or not; encoded images as Base64.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    data: Option<Box<RawValue>>,
}

/// An output that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
struct RequestOutput {
    #[schema(example = "odin")]
    name: String,
    /// `binary_data`: whether it is wanted in binary form.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    parameters: Map<String, Value>,
}

/// A request as it was understood.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: Option<String>,
    pub(super) inputs: Vec<InputTensor>,
    pub(super) outputs: WantedOutputs,
}

/// Which outputs are wanted, and in which form.
#[derive(Debug, Default)]
pub(super) struct WantedOutputs {
    /// Names, and whether in binary form; empty for all.
    pub(super) wanted: Vec<(String, bool)>,
    /// Whether those that are not named are in binary form.
    pub(super) binary: bool,
}

impl WantedOutputs {
    /// Whether the output at this place of the answer is in binary form.
    pub(super) fn is_binary(&self, place: usize) -> bool {
        let named = self.wanted.get(place);
        named.map_or(self.binary, |(_, binary)| *binary)
    }
}

/// Reads a request.
pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Asked, Refusal> {
    let (json, mut binary) = parts(headers, body)?;
    let request: InferRequest = serde_json::from_slice(&json)
        .map_err(|e| Refusal::invalid(format!("the JSON is no inference request: {e}")))?;
    let inputs = request.inputs.into_iter();
    let inputs = inputs.map(|input| tensor(input, &mut binary));
    let inputs = inputs.collect::<Result<_, _>>()?;
    if !binary.is_empty() {
        let message = format!(
            "{} bytes follow the tensors; binary_data_size does not fit",
            binary.len()
        );
        return Err(Refusal::invalid(message));
    }
    let all_binary = flag(&request.parameters, "binary_data_output")?.unwrap_or(false);
    let wanted = request.outputs.into_iter().map(|output| {
        let binary = flag(&output.parameters, "binary_data")?;
        Ok((output.name, binary.unwrap_or(all_binary)))
    });
    Ok(Asked {
        id: request.id,
        inputs,
        outputs: WantedOutputs {
            wanted: wanted.collect::<Result<_, Refusal>>()?,
            binary: all_binary,
        },
    })
}

/// The JSON and what follows it.
fn parts(headers: &HeaderMap, body: &Bytes) -> Result<(Bytes, Bytes), Refusal> {
    let Some(length) = headers.get(HEADER_LENGTH) else {
        return Ok((body.clone(), Bytes::new()));
    };
    let length = length
        .to_str()
        .ok()
        .and_then(|length| length.parse::<usize>().ok());
    let length = length
        .filter(|length| *length <= body.len())
        .ok_or_else(|| {
            Refusal::invalid(
                "Inference-Header-Content-Length is no number of bytes within the body",
            )
        })?;
    Ok((body.slice(..length), body.slice(length..)))
}

fn flag(parameters: &Map<String, Value>, name: &str) -> Result<Option<bool>, Refusal> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Refusal::invalid(format!(
            "the parameter {name} is neither true nor false"
        ))),
    }
}

fn tensor(input: RequestInput, binary: &mut Bytes) -> Result<InputTensor, Refusal> {
    let name = odin_error::shown(&input.name);
    let about = |refusal: Refusal| Refusal {
        message: format!("input {name}: {}", refusal.message).into(),
        ..refusal
    };
    let datatype = Datatype::of(&input.datatype).map_err(about)?;
    let extents = input
        .shape
        .iter()
        .map(|&extent| usize::try_from(extent).ok());
    let shape = extents.collect::<Option<Vec<usize>>>();
    let shape = shape.ok_or_else(|| about(Refusal::invalid("its shape is too large")))?;
    let size = input.parameters.get("binary_data_size");
    let data = match (size, &input.data) {
        (Some(size), None) => binary_data(size, binary),
        (None, Some(data)) => json_data(data, datatype),
        (Some(_), Some(_)) => Err(Refusal::invalid("it has data as JSON and in binary form")),
        (None, None) => Err(Refusal::invalid("it has neither data nor binary_data_size")),
    };
    Ok(InputTensor {
        name: input.name,
        datatype,
        shape,
        data: data.map_err(about)?,
    })
}

fn binary_data(size: &Value, binary: &mut Bytes) -> Result<Bytes, Refusal> {
    let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
    match size {
        Some(size) if size <= binary.len() => Ok(binary.split_to(size)),
        _ => Err(Refusal::invalid(format!(
            "binary_data_size is no number of bytes within the {} that are left of the body",
            binary.len()
        ))),
    }
}

/// The values in the protocol's binary form.
fn json_data(data: &RawValue, datatype: Datatype) -> Result<Bytes, Refusal> {
    match datatype {
        Datatype::Uint8 => Ok(flat::<u8>(data)?.into()),
        Datatype::Fp32 => {
            let values = flat::<f32>(data)?;
            Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
        }
        Datatype::Bytes => {
            let mut raw = Vec::new();
            for text in flat::<String>(data)? {
                let bytes = base64_images::decode(&text).map_err(|e| {
                    Refusal::invalid(format!(
                        "an element is no Base64, as encoded images are in JSON: {e}"
                    ))
                })?;
                raw.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
                raw.extend(bytes);
            }
            Ok(raw.into())
        }
        Datatype::Bool | Datatype::Int64 | Datatype::Fp64 => Err(Refusal::invalid(format!(
            "no input has the datatype {}",
            datatype.name()
        ))),
    }
}

/// Values in arrays that are nested to any depth, in their order.
fn flat<T: DeserializeOwned + Element>(data: &RawValue) -> Result<Vec<T>, Refusal> {
    let mut values = Vec::new();
    let mut parser = serde_json::Deserializer::from_str(data.get());
    let nested = Nested {
        values: &mut values,
    };
    let read = nested.deserialize(&mut parser).and_then(|()| parser.end());
    read.map_err(|e| Refusal::invalid(format!("its data cannot be read: {e}")))?;
    Ok(values)
}

/// What arrays hold.
trait Element: Sized {
    fn of_number(_: f64) -> Option<Self> {
        None
    }
    fn of_text(_: &str) -> Option<Self> {
        None
    }
    const EXPECTED: &str;
}

impl Element for u8 {
    const EXPECTED: &str = "whole numbers from 0 to 255";
    fn of_number(number: f64) -> Option<Self> {
        let whole = (0.0..=255.0).contains(&number) && number.fract() == 0.0;
        whole.then_some(number as u8)
    }
}

impl Element for f32 {
    const EXPECTED: &str = "numbers";
    fn of_number(number: f64) -> Option<Self> {
        Some(number as f32)
    }
}

impl Element for String {
    const EXPECTED: &str = "strings of Base64";
    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_string())
    }
}

struct Nested<'a, T> {
    values: &'a mut Vec<T>,
}

impl<'de, T: Element> DeserializeSeed<'de> for Nested<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Nested<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arrays of {}", T::EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        loop {
            let values = &mut *self.values;
            if sequence.next_element_seed(Nested { values })?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let unexpected = || E::invalid_value(serde::de::Unexpected::Float(value), &self);
        let value = T::of_number(value).ok_or_else(unexpected)?;
        self.values.push(value);
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        // The text may be a whole image.
        let unexpected = || E::invalid_type(serde::de::Unexpected::Other("a string"), &self);
        let value = T::of_text(value).ok_or_else(unexpected)?;
        self.values.push(value);
        Ok(())
    }
}
