//! The routes of HTTP.

mod explore;
mod info;
mod page;
mod protocol;
mod score;

use crate::refusal::Refusal;
use crate::shared::{App, Shared, content_type};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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

/// What anyone may see: the page without its data, and whether the service is there.
pub(crate) const OPEN: [&str; 6] = {
    let [page, style, script, icon] = page::PATHS;
    let [live, ready] = protocol::HEALTH;
    [page, style, script, icon, live, ready]
};

/// The routes, the page, and the document of all; `secured` where requests need a token.
pub(crate) fn routes(secured: bool) -> Router<Arc<Shared>> {
    let document = openapi(secured);
    let document = move || async move { Json(document) };
    let (routes, _) = documented().split_for_parts();
    routes
        .route("/openapi.json", get(document))
        .merge(page::routes())
}

fn openapi(secured: bool) -> utoipa::openapi::OpenApi {
    let mut document = documented().into_openapi();
    if secured {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
        let needed = utoipa::openapi::SecurityRequirement::new("token", [""; 0]);
        document.security = Some(vec![needed]);
        for path in protocol::HEALTH {
            let item = document.paths.paths.get_mut(path);
            if let Some(operation) = item.and_then(|item| item.get.as_mut()) {
                operation.security = Some(Vec::new());
            }
        }
    }
    document
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
