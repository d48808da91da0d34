//! Why a request gets no scores.

use std::borrow::Cow;
use std::time::Duration;

/// Why a request gets no scores: HTTP and gRPC each spell it in their own codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) message: Cow<'static, str>,
}

/// The kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// The request is not one that can be answered.
    Invalid,
    /// The token is missing or wrong.
    Unauthorized,
    /// There is no such detector.
    NotFound,
    /// There is no such route.
    NoRoute,
    /// The route is there, but not for this method.
    Method,
    /// The body did not arrive in time.
    SlowBody,
    /// More bytes or images than a request may have.
    TooLarge,
    /// The content type is none that is read.
    ContentType,
    /// The queue is full; it is likely to have room after this time.
    Full(Duration),
    /// The scores were not there in time.
    Timeout,
    /// The service ends.
    Ending,
    /// A defect of the service.
    Internal,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::Invalid, message)
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::Internal, message)
    }
}

impl Reason {
    /// As it is counted and logged.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::SlowBody => "slow_body",
            Self::TooLarge => "too_large",
            Self::ContentType => "content_type",
            Self::Full(_) => "queue_full",
            Self::Timeout => "timeout",
            Self::Ending => "ending",
            Self::Internal => "internal",
        }
    }
}
