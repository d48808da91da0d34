//! What every request passes, whatever its protocol: identifier, log and metrics, the token; and the
//! routes behind it.

mod answer;
mod leftover;
mod observe;
#[cfg(feature = "opentelemetry")]
mod span;

use crate::error::Error;
use crate::refusal::{Reason, Refusal};
use crate::shared::{App, Shared};
use crate::{grpc, http};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use std::sync::Arc;

/// The service over HTTP and gRPC.
///
/// # Errors
/// When the descriptor of gRPC cannot be read.
pub(crate) fn router(shared: Arc<Shared>) -> Result<Router, Error> {
    let routes = http::routes(shared.token.is_some())
        .merge(grpc::routes(&shared)?)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&shared), token))
        .layer(from_fn_with_state(Arc::clone(&shared), observe::observe))
        .layer(from_fn(headers))
        .with_state(shared);
    Ok(routes)
}

async fn not_found() -> Refusal {
    Refusal::new(
        Reason::NoRoute,
        "there is no such route; /openapi.json lists them",
    )
}

async fn wrong_method() -> Refusal {
    Refusal::new(
        Reason::Method,
        "the route is not for this method; the header Allow names those that it has",
    )
}

/// What anyone may see: the page without its data, and whether the service is there.
fn is_open(path: &str) -> bool {
    http::OPEN.contains(&path) || path.starts_with(grpc::OPEN)
}

/// Refuses what carries no token where one is needed.
async fn token(
    State(shared): App,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Result<Response, Refusal> {
    if let Some(token) = &shared.token
        && !is_open(request.uri().path())
    {
        token.check(request.headers().get(header::AUTHORIZATION))?;
    }
    Ok(next.run(request).await)
}

/// Headers of every answer.
async fn headers(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
