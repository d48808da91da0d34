//! `/info` and `/metrics`.

use super::App;
use crate::codes::NotAllowed;
use crate::exposition::CONTENT_TYPE;
use crate::info::DetectorInfo;
use crate::refusal::Refusal;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

/// What is served, and within which limits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    #[schema(example = "odin")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    detectors: Vec<DetectorInfo>,
    limits: LimitsInfo,
}

/// What a request may take.
#[derive(Debug, Serialize, ToSchema)]
struct LimitsInfo {
    /// Images of a request.
    images: usize,
    /// Bytes of a body, after decompression.
    body_bytes: usize,
    /// Height times width of an image.
    pixels: usize,
    /// The longest that a request takes.
    seconds: f64,
}

/// What is served, and within which limits.
#[utoipa::path(get, path = "/info", tag = "service",
    responses((status = 200, description = "Detectors and limits", body = Info),
        NotAllowed))]
pub(super) async fn info(State(shared): App) -> Json<Info> {
    let limits = shared.service.limits;
    let detectors = shared.service.detectors.all();
    Json(Info {
        name: "odin",
        version: env!("CARGO_PKG_VERSION"),
        detectors: detectors.iter().map(|served| served.info.clone()).collect(),
        limits: LimitsInfo {
            images: limits.images,
            body_bytes: limits.body_bytes,
            pixels: limits.pixels,
            seconds: limits.time.as_secs_f64(),
        },
    })
}

/// Metrics of the service, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, description = "Metrics", body = String, content_type = "application/openmetrics-text"),
        NotAllowed))]
pub(super) async fn metrics(State(shared): App) -> Result<impl IntoResponse, Refusal> {
    // The test of drift takes milliseconds.
    let shared = Arc::clone(&shared);
    let text = spawn_blocking(move || shared.exposition.encode()).await;
    match text {
        Ok(Ok(text)) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text)),
        _ => Err(Refusal::internal("the metrics cannot be written")),
    }
}
