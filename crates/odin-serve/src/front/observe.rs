//! What is kept of every request: its identifier, a line in the log, its place in the metrics.

use super::{answer, leftover};
use crate::refusal::Refusal;
use crate::request_id::RequestIds;
use crate::shared::{App, Shared, content_type};
use crate::telemetry::RequestLabels;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tracing::{Instrument, Span};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers with an identifier, logs and counts. A panic, which would be a defect, is an answer of
/// status 500.
pub(super) async fn observe(State(shared): App, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers(), &shared.request_ids);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let is_grpc = content_type(request.headers()).starts_with("application/grpc");
    let seen = Seen::new(&shared, &request, &id);
    let span = seen.span(&request);
    let (request, rest) = leftover::kept(request);
    let answer = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let answer = answer.unwrap_or_else(|_| {
        Refusal::internal("a defect of the service; its log says more").into_response()
    });
    let (mut answer, refusal) = answer::with_id(answer, id.to_str().unwrap_or_default(), is_grpc);
    rest.discard(&shared.service.limits, &mut answer).await;
    span.record("http.response.status_code", answer.status().as_u16());
    seen.answered(&answer, refusal.as_ref());
    answer.headers_mut().insert(REQUEST_ID, id);
    answer
}

/// A request that is being answered. Where it is dropped before, the client has gone away.
struct Seen {
    shared: Arc<Shared>,
    id: HeaderValue,
    method: Method,
    route: String,
    begun: Instant,
    is_answered: bool,
}

/// The status, of no standard, that logs of other servers have for it.
const GONE: u16 = 499;

impl Seen {
    fn new(shared: &Arc<Shared>, request: &Request, id: &HeaderValue) -> Self {
        shared.service.requests.in_flight.inc();
        let route = request.extensions().get::<MatchedPath>();
        Self {
            shared: Arc::clone(shared),
            id: id.clone(),
            method: request.method().clone(),
            route: route.map_or("none", |path| path.as_str()).to_string(),
            begun: Instant::now(),
            is_answered: false,
        }
    }

    #[cfg(feature = "opentelemetry")]
    fn span(&self, request: &Request) -> Span {
        super::span::of(request, &self.route, self.id.to_str().unwrap_or_default())
    }

    #[cfg(not(feature = "opentelemetry"))]
    fn span(&self, _: &Request) -> Span {
        Span::none()
    }

    fn answered(mut self, answer: &Response, refusal: Option<&Refusal>) {
        self.is_answered = true;
        if let Some(refusal) = refusal {
            let name = refusal.reason.name();
            self.shared.service.requests.refused(name);
        }
        let reason = refusal.map(|refusal| refusal.message.as_ref());
        self.note(answer.status().as_u16(), grpc_status(answer), reason);
    }

    /// Counts and logs.
    fn note(&self, status: u16, grpc_status: Option<u32>, refused: Option<&str>) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let labels = RequestLabels {
            route: self.route.clone(),
            status: match grpc_status {
                Some(status) => format!("grpc_{status}"),
                None => status.to_string(),
            },
        };
        self.shared.service.requests.answered(&labels, seconds);
        tracing::info!(
            request_id = self.id.to_str().unwrap_or_default(),
            method = %self.method,
            route = self.route,
            status,
            grpc_status,
            ms = (1e6 * seconds).round() / 1e3,
            refused,
            "answered"
        );
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.shared.service.requests.in_flight.dec();
        if !self.is_answered {
            self.note(GONE, None, Some("the client went away"));
        }
    }
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
