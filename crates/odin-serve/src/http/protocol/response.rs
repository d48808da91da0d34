//! Writes the answer of an inference request.

use super::request::{HEADER_LENGTH, WantedOutputs};
use crate::infer::{OutputTensor, Values};
use crate::info::DetectorInfo;
use crate::refusal::Refusal;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The answer of an inference request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InferResponse {
    model_name: String,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<ResponseOutput>,
}

/// An output tensor.
#[derive(Debug, Serialize, ToSchema)]
struct ResponseOutput {
    #[schema(example = "odin")]
    name: String,
    #[schema(example = "FP64")]
    datatype: &'static str,
    shape: [usize; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    data: Option<JsonValues>,
}

/// Where the tensor is in binary form.
#[derive(Debug, Serialize, ToSchema)]
struct BinarySize {
    binary_data_size: usize,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum JsonValues {
    Int64(Vec<i64>),
    Fp64(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

impl From<Values> for JsonValues {
    fn from(values: Values) -> Self {
        match values {
            Values::Int64(values) => Self::Int64(values),
            Values::Fp64(values) => Self::Fp64(values),
            Values::Bool(values) => Self::Bool(values),
            Values::Bytes(values) => Self::Text(values),
        }
    }
}

pub(super) fn write(
    info: &DetectorInfo,
    id: Option<String>,
    tensors: Vec<OutputTensor>,
    wanted: &WantedOutputs,
) -> Result<Response, Refusal> {
    let mut binary: Vec<u8> = Vec::new();
    let mut has_binary = false;
    let outputs = tensors.into_iter().enumerate().map(|(place, tensor)| {
        let OutputTensor { name, values } = tensor;
        let (datatype, shape) = (values.datatype().name(), [values.len()]);
        let (parameters, data) = match wanted.is_binary(place) {
            false => (None, Some(values.into())),
            true => {
                has_binary = true;
                let raw = values.to_raw();
                let binary_data_size = raw.len();
                binary.extend(raw);
                (Some(BinarySize { binary_data_size }), None)
            }
        };
        ResponseOutput {
            name,
            datatype,
            shape,
            parameters,
            data,
        }
    });
    let outputs = outputs.collect();
    let response = InferResponse {
        model_name: info.name.clone(),
        model_version: info.version.clone(),
        id,
        outputs,
    };
    let mut body = serde_json::to_vec(&response)
        .map_err(|_| Refusal::internal("the answer cannot be written"))?;
    if !has_binary {
        return Ok(([(header::CONTENT_TYPE, JSON)], body).into_response());
    }
    let length = HeaderValue::from(body.len());
    body.append(&mut binary);
    let headers: [(HeaderName, HeaderValue); 2] =
        [(header::CONTENT_TYPE, OCTETS), (HEADER_LENGTH, length)];
    Ok((headers, body).into_response())
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
