//! Refusals in the codes of HTTP and of gRPC, and as answers.

use crate::refusal::{Reason, Refusal};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tonic::{Code, Status};
use utoipa::{IntoResponses, ToSchema};

/// Why there is no other answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, and what to do.
    #[schema(example = "the queue of images is full; try again later")]
    pub(crate) error: String,
    /// As in the header `x-request-id`, and in the log.
    pub(crate) request_id: String,
}

impl Reason {
    fn of_http(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Ending => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn of_grpc(self) -> Code {
        match self {
            Self::Invalid | Self::ContentType => Code::InvalidArgument,
            Self::Unauthorized => Code::Unauthenticated,
            Self::NotFound => Code::NotFound,
            Self::NoRoute | Self::Method => Code::Unimplemented,
            Self::TooLarge | Self::Full(_) => Code::ResourceExhausted,
            Self::SlowBody | Self::Timeout => Code::DeadlineExceeded,
            Self::Ending => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }
}

/// An answer that `front` completes: only there the request's identifier is known.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.reason.of_http().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<&Refusal> for Status {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.reason.of_grpc(), refusal.message.clone())
    }
}

/// How a route that judges images refuses, for the document of the routes.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only what is derived is used")]
pub(crate) enum NotJudged {
    #[response(
        status = 400,
        description = "The request, or its image, cannot be read"
    )]
    Invalid(ErrorBody),
    #[response(status = 401, description = "No token, or a wrong one")]
    Unauthorized(ErrorBody),
    #[response(status = 404, description = "There is no such detector")]
    NotFound(ErrorBody),
    #[response(status = 408, description = "The body did not arrive in time")]
    SlowBody(ErrorBody),
    #[response(status = 413, description = "Too many bytes or images")]
    TooLarge(ErrorBody),
    #[response(status = 415, description = "Another content type or encoding")]
    ContentType(ErrorBody),
    #[response(
        status = 429,
        description = "There is no room for it",
        headers(("Retry-After" = u64, description = "Seconds after which there is likely to be")),
    )]
    Full(ErrorBody),
    #[response(status = 504, description = "The scores were not there in time")]
    Timeout(ErrorBody),
}

/// How a route that tells of a detector refuses.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only what is derived is used")]
pub(crate) enum NoDetector {
    #[response(status = 400, description = "The path cannot be read")]
    Invalid(ErrorBody),
    #[response(status = 401, description = "No token, or a wrong one")]
    Unauthorized(ErrorBody),
    #[response(status = 404, description = "There is no such detector")]
    NotFound(ErrorBody),
}

/// How a route that only needs a token refuses.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only what is derived is used")]
pub(crate) enum NotAllowed {
    #[response(status = 401, description = "No token, or a wrong one")]
    Unauthorized(ErrorBody),
}
