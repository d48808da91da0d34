//! Answers completed: refusals get their body, in which the request's identifier stands.

use crate::codes::ErrorBody;
use crate::refusal::{Reason, Refusal};
use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tonic::Status;

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
        true => Status::from(&refusal).into_http(),
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
