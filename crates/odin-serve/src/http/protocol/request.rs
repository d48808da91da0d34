//! Reads an inference request: JSON, and tensors in binary form behind it.

use crate::base64_images;
use crate::few::Few;
use crate::infer::{Datatype, InputTensor};
use crate::refusal::{Reason, Refusal};
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// The length of the JSON in front of binary tensors.
pub(super) const HEADER_LENGTH: HeaderName =
    HeaderName::from_static("inference-header-content-length");

/// No request needs more inputs, outputs or axes.
const INPUTS: usize = 16;
const OUTPUTS: usize = 64;
const AXES: usize = 8;

/// An inference request.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct InferRequest<'a> {
    /// What the answer repeats.
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow, default)]
    parameters: Parameters<'a>,
    /// One of the detector's inputs.
    #[serde(borrow)]
    #[schema(value_type = Vec<RequestInput>, min_items = 1, max_items = 1)]
    inputs: Few<RequestInput<'a>, INPUTS>,
    /// The outputs wanted; all unless given.
    #[serde(borrow, default)]
    #[schema(value_type = Vec<RequestOutput>, max_items = 64)]
    outputs: Few<RequestOutput<'a>, OUTPUTS>,
}

/// Parameters of the binary extension; others are not read.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct Parameters<'a> {
    /// Of a request: whether outputs are in binary form unless they say otherwise.
    #[serde(borrow, default)]
    #[schema(value_type = Option<bool>)]
    binary_data_output: Option<&'a RawValue>,
    /// Of an output: whether it is wanted in binary form.
    #[serde(borrow, default)]
    #[schema(value_type = Option<bool>)]
    binary_data: Option<&'a RawValue>,
    /// Of an input: the bytes of the tensor in binary form.
    #[serde(borrow, default)]
    #[schema(value_type = Option<u64>)]
    binary_data_size: Option<&'a RawValue>,
    /// There is no shared memory.
    #[serde(default)]
    #[schema(ignore)]
    shared_memory_region: Option<IgnoredAny>,
}

impl Parameters<'_> {
    fn check(&self) -> Result<(), Refusal> {
        match self.shared_memory_region {
            None => Ok(()),
            Some(_) => Err(Refusal::invalid(
                "there is no shared memory; send tensors in the request",
            )),
        }
    }

    fn size(&self) -> Result<Option<usize>, Refusal> {
        parameter(
            "binary_data_size",
            self.binary_data_size,
            "a number of bytes",
        )
    }
}

/// The value of a parameter.
fn parameter<T: FromStr>(
    name: &str,
    value: Option<&RawValue>,
    expected: &str,
) -> Result<Option<T>, Refusal> {
    let Some(value) = value else {
        return Ok(None);
    };
    match value.get().parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Refusal::invalid(format!(
            "the parameter {name} is {}, not {expected}",
            odin_error::shown(value.get())
        ))),
    }
}

/// An input tensor.
#[derive(Debug, Deserialize, ToSchema)]
struct RequestInput<'a> {
    #[schema(example = "images")]
    name: String,
    #[schema(example = "BYTES", pattern = "^(BYTES|UINT8|FP32)$")]
    datatype: String,
    #[schema(value_type = Vec<u64>, example = json!([1]), max_items = 8)]
    shape: Few<u64, AXES>,
    #[serde(borrow, default)]
    parameters: Parameters<'a>,
    /// The values, nested by the axes or not; encoded images as Base64.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Vec<Object>>)]
    data: Option<&'a RawValue>,
}

/// An output that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
struct RequestOutput<'a> {
    #[schema(example = "odin")]
    name: String,
    #[serde(borrow, default)]
    parameters: Parameters<'a>,
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

/// Reads a request of at most so many images.
pub(super) fn read(headers: &HeaderMap, body: &Bytes, images: usize) -> Result<Asked, Refusal> {
    let (json, mut binary) = parts(headers, body)?;
    let request: InferRequest<'_> = serde_json::from_slice(&json)
        .map_err(|e| Refusal::invalid(format!("the JSON is no inference request: {e}")))?;
    request.parameters.check()?;
    let inputs = request.inputs.0.into_iter();
    let inputs = inputs.map(|input| tensor(input, &mut binary, images));
    let inputs = inputs.collect::<Result<_, _>>()?;
    if !binary.is_empty() {
        let message = format!(
            "{} bytes follow the tensors; binary_data_size does not fit",
            binary.len()
        );
        return Err(Refusal::invalid(message));
    }
    let flag = |name, value| parameter::<bool>(name, value, "true or false");
    let all_binary = flag("binary_data_output", request.parameters.binary_data_output)?;
    let all_binary = all_binary.unwrap_or(false);
    let wanted = request.outputs.0.into_iter().map(|output| {
        output.parameters.check()?;
        let binary = flag("binary_data", output.parameters.binary_data)?;
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

fn tensor(
    input: RequestInput<'_>,
    binary: &mut Bytes,
    images: usize,
) -> Result<InputTensor, Refusal> {
    let name = odin_error::shown(&input.name);
    let about = |refusal: Refusal| Refusal {
        message: format!("input {name}: {}", refusal.message).into(),
        ..refusal
    };
    let datatype = Datatype::of(&input.datatype).map_err(about)?;
    input.parameters.check().map_err(about)?;
    let extents = input
        .shape
        .0
        .iter()
        .map(|&extent| usize::try_from(extent).ok());
    let shape = extents.collect::<Option<Vec<usize>>>();
    let shape = shape.ok_or_else(|| about(Refusal::invalid("its shape is too large")))?;
    let data = match (input.parameters.size().map_err(about)?, input.data) {
        (Some(size), None) => binary_data(size, binary),
        (None, Some(data)) => json_data(data, datatype, &shape, images),
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

fn binary_data(size: usize, binary: &mut Bytes) -> Result<Bytes, Refusal> {
    match size <= binary.len() {
        true => Ok(binary.split_to(size)),
        false => Err(Refusal::invalid(format!(
            "binary_data_size is {size}, more than the {} bytes that are left of the body",
            binary.len()
        ))),
    }
}

/// The values in the protocol's binary form.
fn json_data(
    data: &RawValue,
    datatype: Datatype,
    shape: &[usize],
    images: usize,
) -> Result<Bytes, Refusal> {
    let values = shape
        .iter()
        .fold(1, |values: usize, extent| values.saturating_mul(*extent));
    let unfit = || Refusal::invalid(format!("it has more values than its shape {shape:?}"));
    match datatype {
        Datatype::Uint8 => Ok(flat::<u8>(data, values, unfit)?.into()),
        Datatype::Fp32 => {
            let values = flat::<f32>(data, values, unfit)?;
            Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
        }
        Datatype::Bytes => {
            let mut raw = Vec::new();
            for text in flat::<String>(data, images, || too_many(images))? {
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

/// Values in arrays that are nested to any depth, in their order; at most so many.
fn flat<T: Element>(
    data: &RawValue,
    most: usize,
    more: impl Fn() -> Refusal,
) -> Result<Vec<T>, Refusal> {
    let mut values = Vec::new();
    let mut parser = serde_json::Deserializer::from_str(data.get());
    let nested = Nested {
        values: &mut values,
        most,
    };
    let read = nested.deserialize(&mut parser).and_then(|()| parser.end());
    if values.len() > most {
        return Err(more());
    }
    read.map_err(|e| Refusal::invalid(format!("its data cannot be read: {e}")))?;
    Ok(values)
}

fn too_many(images: usize) -> Refusal {
    let message = format!("it has more than {images} images; send several requests");
    Refusal::new(Reason::TooLarge, message)
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
    most: usize,
}

impl<T> Nested<'_, T> {
    /// Adds a value; one too many is the last.
    fn add<E: serde::de::Error>(self, value: T) -> Result<(), E> {
        self.values.push(value);
        match self.values.len() <= self.most {
            true => Ok(()),
            false => Err(E::custom("too many values")),
        }
    }
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
            let (values, most) = (&mut *self.values, self.most);
            if sequence
                .next_element_seed(Nested { values, most })?
                .is_none()
            {
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
        self.add(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        // The text may be a whole image.
        let unexpected = || E::invalid_type(serde::de::Unexpected::Other("a string"), &self);
        let value = T::of_text(value).ok_or_else(unexpected)?;
        self.add(value)
    }
}
