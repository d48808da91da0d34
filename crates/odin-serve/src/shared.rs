//! What every route is given.

use crate::detectors::Served;
use crate::exposition::Exposition;
use crate::refusal::Refusal;
use crate::request_id::RequestIds;
use crate::service::Service;
use crate::token::Token;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use std::sync::Arc;

/// What every route is given.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) service: Arc<Service>,
    pub(crate) exposition: Exposition,
    pub(crate) token: Option<Token>,
    pub(crate) request_ids: RequestIds,
}

pub(crate) type App = State<Arc<Shared>>;

impl Shared {
    /// The detector of this name; without a name the only one.
    pub(crate) fn detector(&self, name: Option<&str>) -> Result<Arc<Served>, Refusal> {
        self.service.detectors.find(name, None)
    }
}

/// The content type, without its parameters, in small letters.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.map_or("", |value| value.to_str().unwrap_or("no text"));
    let plain = value.split(';').next().unwrap_or_default();
    plain.trim().to_ascii_lowercase()
}
