//! What is kept of every request: its identifier, a line in the log, its place in the metrics.

use super::answer;
use crate::refusal::Refusal;
use crate::request_id::RequestIds;
use crate::shared::{App, content_type};
use crate::telemetry::RequestLabels;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers with an identifier, logs and counts. A panic, which would be a defect, is an answer of
/// status 500.
pub(super) async fn observe(State(shared): App, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers(), &shared.request_ids);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", |path| path.as_str()).to_string();
    let is_grpc = content_type(request.headers()).starts_with("application/grpc");
    let method = request.method().clone();
    let begun = Instant::now();
    let metrics = &shared.service.requests;
    metrics.in_flight.inc();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    metrics.in_flight.dec();
    let answer = answer.unwrap_or_else(|_| {
        Refusal::internal("a defect of the service; its log says more").into_response()
    });
    let id_text = id.to_str().unwrap_or_default();
    let (mut answer, refusal) = answer::with_id(answer, id_text, is_grpc);
    let seconds = begun.elapsed().as_secs_f64();
    let (status, grpc_status) = (answer.status().as_u16(), grpc_status(&answer));
    let labels = RequestLabels {
        route: route.clone(),
        status: match grpc_status {
            Some(status) => format!("grpc_{status}"),
            None => status.to_string(),
        },
    };
    metrics.answered(&labels, seconds);
    if let Some(refusal) = &refusal {
        metrics.refused(refusal.reason.name());
    }
    let reason = refusal.as_ref().map(|refusal| refusal.message.as_ref());
    tracing::info!(
        request_id = id_text,
        %method,
        route,
        status,
        grpc_status,
        ms = (1e6 * seconds).round() / 1e3,
        refused = reason,
        "answered"
    );
    answer.headers_mut().insert(REQUEST_ID, id);
    answer
}

/// The status of gRPC, where it is an error: only then it stands in the head of the answer.
fn grpc_status(answer: &Response) -> Option<u32> {
    let status = answer.headers().get("grpc-status")?;
    status.to_str().ok()?.parse().ok()
}

/// The identifier that the client gave, if it is a short word; else a new one.
fn request_id(headers: &HeaderMap, ids: &RequestIds) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        (1..=64).contains(&bytes.len()) && bytes.iter().all(plain)
    });
    given.cloned().unwrap_or_else(|| {
        let next = ids.next();
        HeaderValue::from_str(&next).unwrap_or(HeaderValue::from_static("none"))
    })
}
