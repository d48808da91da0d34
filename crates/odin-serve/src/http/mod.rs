//! The routes of HTTP.

mod answer;
mod body;
mod explore;
mod info;
mod observe;
mod page;
mod protocol;
mod score;

pub(crate) use body::receive;

use crate::detectors::Served;
use crate::error::Error;
use crate::grpc;
use crate::refusal::{Reason, Refusal};
use crate::request_id::RequestIds;
use crate::service::Service;
use crate::telemetry::Exposition;
use crate::token::Token;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What every route is given.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) service: Arc<Service>,
    pub(crate) exposition: Exposition,
    pub(crate) token: Option<Token>,
    pub(crate) request_ids: RequestIds,
}

type App = State<Arc<Shared>>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "odin serve",
        description = "Calibrated out-of-distribution detectors: the Open Inference Protocol, a plain API, and what is measured of both. High scores mean in-distribution.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "plain", description = "Images in, decisions out"),
        (name = "protocol", description = "Open Inference Protocol (KServe V2)"),
        (name = "service", description = "The service itself"),
    ),
)]
struct Document;

/// All routes, and the document that describes them.
fn documented() -> OpenApiRouter<Arc<Shared>> {
    let needs_token = OpenApiRouter::new()
        .routes(routes!(score::score))
        .routes(routes!(explore::explore))
        .routes(routes!(info::info))
        .routes(routes!(info::metrics))
        .merge(protocol::routes());
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(needs_token)
        .merge(protocol::health())
}

/// The document of all routes; `secured` where requests need a token.
fn openapi(secured: bool) -> utoipa::openapi::OpenApi {
    let mut document = documented().into_openapi();
    if secured {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
        let needed = utoipa::openapi::SecurityRequirement::new("token", [""; 0]);
        document.security = Some(vec![needed]);
    }
    document
}

/// The service over HTTP and gRPC.
///
/// # Errors
/// When the descriptor of gRPC cannot be read.
pub(crate) fn router(shared: Arc<Shared>) -> Result<Router, Error> {
    let document = openapi(shared.token.is_some());
    let document = move || async move { Json(document) };
    let (routes, _) = documented().split_for_parts();
    let routes = routes
        .route("/openapi.json", get(document))
        .merge(page::routes())
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
    page::PATHS.contains(&path) || protocol::HEALTH.contains(&path) || path.starts_with(grpc::OPEN)
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

/// Parameters of a query; what is wrong with them is said as everywhere.
struct Parameters<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Refusal::invalid(rejection.body_text())),
        }
    }
}

/// Parameters of a path; what is wrong with them is said as everywhere.
struct InPath<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Refusal::invalid(rejection.body_text())),
        }
    }
}

/// Which detector a request is for.
#[derive(Debug, Deserialize)]
struct OfDetector {
    detector: Option<String>,
}

impl Shared {
    fn detector(&self, name: Option<&str>) -> Result<Arc<Served>, Refusal> {
        self.service.detectors.find(name, None)
    }
}

/// The content type, without its parameters, in small letters.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let plain = value.split(';').next().unwrap_or_default();
    plain.trim().to_ascii_lowercase()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        answer::refused(self)
    }
}
