//! What is left of a body that was not read to its end: it is read and discarded before the answer
//! is sent, since a client that is still sending would not see the answer, but a broken connection.

use crate::options::Limits;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{Version, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// The longest that a client is listened to only to be refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is left of a body once nobody reads it any more.
type Slot = Arc<Mutex<Option<Body>>>;

/// The rest of a body.
pub(super) struct Rest {
    slot: Slot,
    /// Whether an answer before its end breaks the connection.
    matters: bool,
}

/// The request, whose body leaves in [`Rest`] what is not read of it.
pub(super) fn kept(request: Request) -> (Request, Rest) {
    let slot = Slot::default();
    // In HTTP/2 a stream ends without its connection; a client that expects to be told to continue
    // sends no body before.
    let is_old = request.version() <= Version::HTTP_11;
    let waits = request.headers().contains_key(header::EXPECT);
    let rest = Rest {
        slot: Arc::clone(&slot),
        matters: is_old && !waits,
    };
    let request = request.map(|body| {
        Body::new(Kept {
            body: Some(body),
            slot,
        })
    });
    (request, rest)
}

impl Rest {
    /// Reads and discards it, up to as many bytes as two bodies may have. Gives false where there
    /// is still more.
    pub(super) async fn discard(self, limits: &Limits) -> bool {
        let left = self
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut body) = left.filter(|body| self.matters && !body.is_end_stream()) else {
            return true;
        };
        let mut room = limits.body_bytes.saturating_mul(2);
        let read = async {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    return false;
                };
                let length = frame.data_ref().map_or(0, Bytes::len);
                match room.checked_sub(length) {
                    Some(left) => room = left,
                    None => return false,
                }
            }
            true
        };
        timeout(PATIENCE, read).await.unwrap_or(false)
    }
}

/// A body that is put into its slot when it is dropped.
struct Kept {
    body: Option<Body>,
    slot: Slot,
}

impl Drop for Kept {
    fn drop(&mut self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
