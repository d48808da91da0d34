//! What is left of a body that was not read to its end: it is read and discarded before the answer
//! is sent, since a client that is still sending would not see the answer, but a broken connection.

use crate::options::Limits;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// The longest that a client is listened to only to be refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is left of a body once nobody reads it any more, and whether anybody did.
#[derive(Default)]
struct Slot {
    left: Mutex<Option<Body>>,
    was_read: AtomicBool,
}

impl Slot {
    fn take(&self) -> Option<Body> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.take()
    }
}

/// The rest of a body.
pub(super) struct Rest {
    slot: Arc<Slot>,
    /// Whether the client sends no body before it is told to continue, which reading it does.
    waits: bool,
    version: Version,
}

/// The request, whose body leaves in [`Rest`] what is not read of it.
pub(super) fn kept(request: Request) -> (Request, Rest) {
    let slot = Arc::new(Slot::default());
    let rest = Rest {
        slot: Arc::clone(&slot),
        waits: request.headers().contains_key(header::EXPECT),
        version: request.version(),
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
    /// Reads and discards it, up to as many bytes as two bodies may have. Says in the answer where
    /// there is still more, so that the connection ends with it; of HTTP/2 only the stream does.
    pub(super) async fn discard(self, limits: &Limits, answer: &mut Response) {
        let version = self.version;
        if !self.read_to_end(limits).await && version <= Version::HTTP_11 {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
    }

    async fn read_to_end(self, limits: &Limits) -> bool {
        let Some(mut body) = self.slot.take().filter(|body| !body.is_end_stream()) else {
            return true;
        };
        if self.waits && !self.slot.was_read.load(Ordering::Relaxed) {
            return false;
        }
        let mut room = limits.body_bytes.saturating_mul(2);
        if body.size_hint().lower() > room as u64 {
            return false;
        }
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
    slot: Arc<Slot>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut left = self
            .slot
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *left = self.body.take();
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.slot.was_read.store(true, Ordering::Relaxed);
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
