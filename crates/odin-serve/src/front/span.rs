//! Spans of requests, for OpenTelemetry; none in builds without it.

use axum::extract::Request;
use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of a request, within the trace that its header `traceparent` names
/// (<https://www.w3.org/TR/trace-context/>). Its attributes have the names of OpenTelemetry's
/// semantic conventions.
pub(super) fn of(request: &Request, route: &str, id: &str) -> Span {
    let span = tracing::info_span!(
        target: crate::logs::SPANS,
        "request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = Empty,
        request_id = id,
    );
    let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
    // Where nothing collects spans there is none to have a parent.
    let _ = span.set_parent(parent);
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
