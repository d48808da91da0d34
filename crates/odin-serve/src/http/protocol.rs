//! The Open Inference Protocol (KServe V2) over HTTP, with its binary tensor extension.
//!
//! <https://github.com/kserve/open-inference-protocol>, and for the extension
//! <https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md>.

mod request;
mod response;

use super::{App, InPath, Shared, content_type};
use crate::body::{Received, receive};
use crate::codes::{ErrorBody, NoDetector, NotAllowed, NotJudged};
use crate::infer::{self, TensorKind, all_inputs, all_outputs};
use crate::refusal::{Reason, Refusal};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use request::{Asked, InferRequest};
use response::InferResponse;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where health is asked for; nobody needs a token to.
pub(super) const HEALTH: [&str; 2] = ["/v2/health/live", "/v2/health/ready"];

pub(super) fn health() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
}

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(server))
        .routes(routes!(model))
        .routes(routes!(model_version))
        .routes(routes!(model_ready))
        .routes(routes!(model_version_ready))
        .routes(routes!(infer_model))
        .routes(routes!(infer_model_version))
}

/// The service as the protocol describes it.
#[derive(Debug, Serialize, ToSchema)]
struct ServerMetadata {
    #[schema(example = "odin")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    extensions: Vec<&'static str>,
}

/// A detector as the protocol describes it.
#[derive(Debug, Serialize, ToSchema)]
struct ModelMetadata {
    name: String,
    versions: Vec<String>,
    #[schema(example = "odin")]
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// An input, of which a request gives one, or an output.
#[derive(Debug, Serialize, ToSchema)]
struct TensorMetadata {
    name: String,
    #[schema(example = "FP64")]
    datatype: &'static str,
    /// -1 is any extent.
    shape: Vec<i64>,
}

impl From<TensorKind> for TensorMetadata {
    fn from(kind: TensorKind) -> Self {
        Self {
            name: kind.name,
            datatype: kind.datatype.name(),
            shape: kind.shape,
        }
    }
}

/// Whether the process lives.
#[utoipa::path(get, path = "/v2/health/live", tag = "protocol",
    responses((status = 200, description = "It does")))]
async fn live() -> StatusCode {
    StatusCode::OK
}

/// Whether requests are answered: not while the service ends.
#[utoipa::path(get, path = "/v2/health/ready", tag = "protocol",
    responses((status = 200, description = "They are"),
        (status = 503, description = "The service ends", body = ErrorBody)))]
async fn ready(State(shared): App) -> Result<StatusCode, Refusal> {
    match shared.service.is_ready() {
        true => Ok(StatusCode::OK),
        false => Err(Refusal::new(Reason::Ending, "the service ends")),
    }
}

/// The service and its extensions of the protocol.
#[utoipa::path(get, path = "/v2", tag = "protocol",
    responses((status = 200, description = "The service", body = ServerMetadata),
        NotAllowed))]
async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: "odin",
        version: env!("CARGO_PKG_VERSION"),
        extensions: vec!["binary_tensor_data"],
    })
}

/// Inputs and outputs of a detector.
#[utoipa::path(get, path = "/v2/models/{name}", tag = "protocol",
    params(("name" = String, Path, description = "The detector's name")),
    responses((status = 200, description = "The detector", body = ModelMetadata),
        NoDetector))]
async fn model(
    State(shared): App,
    InPath(name): InPath<String>,
) -> Result<Json<ModelMetadata>, Refusal> {
    metadata(&shared, &name, None)
}

/// Inputs and outputs of a version of a detector.
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}", tag = "protocol",
    params(("name" = String, Path, description = "The detector's name"),
        ("version" = String, Path, description = "The first 16 digits of its checksum")),
    responses((status = 200, description = "The detector", body = ModelMetadata),
        NoDetector))]
async fn model_version(
    State(shared): App,
    InPath((name, version)): InPath<(String, String)>,
) -> Result<Json<ModelMetadata>, Refusal> {
    metadata(&shared, &name, Some(&version))
}

fn metadata(
    shared: &Shared,
    name: &str,
    version: Option<&str>,
) -> Result<Json<ModelMetadata>, Refusal> {
    let served = shared.service.detectors.find(Some(name), version)?;
    Ok(Json(ModelMetadata {
        name: served.info.name.clone(),
        versions: vec![served.info.version.clone()],
        platform: "odin",
        inputs: all_inputs(&served).into_iter().map(Into::into).collect(),
        outputs: all_outputs(&served).into_iter().map(Into::into).collect(),
    }))
}

/// Whether a detector answers requests.
#[utoipa::path(get, path = "/v2/models/{name}/ready", tag = "protocol",
    params(("name" = String, Path, description = "The detector's name")),
    responses((status = 200, description = "It does"),
        NoDetector,
        (status = 503, description = "The service ends", body = ErrorBody)))]
async fn model_ready(state: App, InPath(name): InPath<String>) -> Result<StatusCode, Refusal> {
    state.service.detectors.find(Some(&name), None)?;
    ready(state).await
}

/// Whether a version of a detector answers requests.
#[utoipa::path(get, path = "/v2/models/{name}/versions/{version}/ready", tag = "protocol",
    params(("name" = String, Path, description = "The detector's name"),
        ("version" = String, Path, description = "The first 16 digits of its checksum")),
    responses((status = 200, description = "It does"),
        NoDetector,
        (status = 503, description = "The service ends", body = ErrorBody)))]
async fn model_version_ready(
    state: App,
    InPath((name, version)): InPath<(String, String)>,
) -> Result<StatusCode, Refusal> {
    state.service.detectors.find(Some(&name), Some(&version))?;
    ready(state).await
}

/// Judges images.
///
/// Give one input: `images` (BYTES, encoded images; in JSON as Base64), `pixels_uint8` or
/// `pixels_float32`. With the header `Inference-Header-Content-Length` tensors follow the JSON in
/// binary form.
#[utoipa::path(post, path = "/v2/models/{name}/infer", tag = "protocol",
    params(("name" = String, Path, description = "The detector's name"),
        ("Inference-Header-Content-Length" = Option<u64>, Header, description = "The length of the JSON in front of binary tensors")),
    request_body(content((InferRequest = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "The outputs", body = InferResponse),
        NotJudged,
    ))]
async fn infer_model(
    State(shared): App,
    InPath(name): InPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    answer(&shared, &name, None, request).await
}

/// Judges images by a version of a detector.
#[utoipa::path(post, path = "/v2/models/{name}/versions/{version}/infer", tag = "protocol",
    params(("name" = String, Path, description = "The detector's name"),
        ("version" = String, Path, description = "The first 16 digits of its checksum"),
        ("Inference-Header-Content-Length" = Option<u64>, Header, description = "The length of the JSON in front of binary tensors")),
    request_body(content((InferRequest = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "The outputs", body = InferResponse),
        NotJudged,
    ))]
async fn infer_model_version(
    State(shared): App,
    InPath((name, version)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    answer(&shared, &name, Some(&version), request).await
}

async fn answer(
    shared: &Arc<Shared>,
    name: &str,
    version: Option<&str>,
    request: Request,
) -> Result<Response, Refusal> {
    let served = shared.service.detectors.find(Some(name), version)?;
    let (parts, body) = request.into_parts();
    match content_type(&parts.headers).as_str() {
        ""
        | "application/json"
        | "application/octet-stream"
        | "application/x-www-form-urlencoded" => {}
        _ => {
            let message =
                "the content type is neither application/json nor application/octet-stream";
            return Err(Refusal::new(Reason::ContentType, message));
        }
    }
    let Received { bytes, room: _room } = receive(shared, &parts.headers, body).await?;
    let size = bytes.len();
    let images = shared.service.limits.images;
    let read = move || request::read(&parts.headers, &bytes, images);
    let Asked {
        id,
        inputs,
        outputs,
    } = shared.service.parse(size, read).await?;
    let names: Vec<String> = outputs
        .wanted
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let tensors = infer::infer(&shared.service, &served, inputs, &names).await?;
    response::write(&served.info, id, tensors, &outputs)
}
