//! The page and its assets.

use super::Shared;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

/// The page asks for nothing but its own files and this service.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

pub(super) const PATHS: [&str; 4] = ["/", "/page.css", "/page.js", "/favicon.svg"];

const CONTENTS: [(&str, &str); 4] = [
    (
        "text/html; charset=utf-8",
        include_str!("../../page/index.html"),
    ),
    (
        "text/css; charset=utf-8",
        include_str!("../../page/page.css"),
    ),
    (
        "text/javascript; charset=utf-8",
        include_str!("../../page/page.js"),
    ),
    ("image/svg+xml", include_str!("../../page/favicon.svg")),
];

pub(super) fn routes() -> Router<Arc<Shared>> {
    let routes = PATHS.into_iter().zip(CONTENTS);
    routes.fold(Router::new(), |router, (path, (kind, content))| {
        router.route(path, get(move || asset(kind, content)))
    })
}

async fn asset(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        // Another version of the program has another page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, content)
}
