//! Refusals as answers.

use crate::grpc;
use crate::refusal::{Reason, Refusal};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Why there is no other answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, and what to do.
    #[schema(example = "the queue of images is full; try again later")]
    error: String,
    /// As in the header `x-request-id`, and in the log.
    request_id: String,
}

pub(super) fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Invalid => StatusCode::BAD_REQUEST,
        Reason::Unauthorized => StatusCode::UNAUTHORIZED,
        Reason::NotFound | Reason::NoRoute => StatusCode::NOT_FOUND,
        Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
        Reason::SlowBody => StatusCode::REQUEST_TIMEOUT,
        Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Reason::Full(_) => StatusCode::TOO_MANY_REQUESTS,
        Reason::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Reason::Ending => StatusCode::SERVICE_UNAVAILABLE,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer that [`with_id`] completes: only there the request's identifier is known.
pub(super) fn refused(refusal: Refusal) -> Response {
    let mut response = status(refusal.reason).into_response();
    response.extensions_mut().insert(refusal);
    response
}

/// The answer with its body, and the refusal for the log, where it is one.
pub(super) fn with_id(
    mut response: Response,
    request_id: &str,
    is_grpc: bool,
) -> (Response, Option<Refusal>) {
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else {
        return (response, None);
    };
    let whole = match is_grpc {
        true => grpc::refused(&refusal),
        false => json(&response, &refusal, request_id),
    };
    (whole, Some(refusal))
}

fn json(response: &Response, refusal: &Refusal, request_id: &str) -> Response {
    let body = Json(ErrorBody {
        error: refusal.message.to_string(),
        request_id: request_id.to_string(),
    });
    let mut whole = (response.status(), body).into_response();
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        whole.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    match refusal.reason {
        Reason::Full(retry_after) => {
            let seconds = HeaderValue::from(whole_seconds(retry_after));
            whole.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        Reason::Unauthorized => {
            let scheme = HeaderValue::from_static("Bearer");
            whole.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        _ => {}
    }
    whole
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
