//! A unary call: a message in, a message out, or a status.

use super::codec::{self, BoundedCodec};
use crate::body::receive;
use crate::refusal::Refusal;
use crate::shared::Shared;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use prost::Message;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tower::service_fn;

/// A route that answers a unary call by `answer`.
pub(super) fn unary<Q, A, F>(
    answer: impl Fn(Arc<Shared>, Q) -> F + Clone + Send + Sync + 'static,
) -> impl Fn(State<Arc<Shared>>, Request) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>>
+ Clone
+ Send
+ 'static
where
    Q: codec::Request + Send,
    A: Message + Default + 'static,
    F: Future<Output = Result<A, Refusal>> + Send + 'static,
{
    move |State(shared), request| Box::pin(call(answer.clone(), shared, request))
}

async fn call<Q, A, F>(
    answer: impl Fn(Arc<Shared>, Q) -> F + Clone + Send + 'static,
    shared: Arc<Shared>,
    request: Request,
) -> Response
where
    Q: codec::Request + Send,
    A: Message + Default + 'static,
    F: Future<Output = Result<A, Refusal>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    // The body is held to the limits that every body is.
    let received = match receive(&shared, &parts.headers, body).await {
        Ok(received) => received,
        Err(refusal) => return refusal.into_response(),
    };
    let request = Request::from_parts(parts, Body::from(received.bytes.clone()));
    let refused = Arc::new(Mutex::new(None));
    let (most, images) = (
        shared.service.limits.body_bytes,
        shared.service.limits.images,
    );
    let service = {
        let refused = Arc::clone(&refused);
        service_fn(move |request: tonic::Request<Q>| {
            let (shared, answer) = (Arc::clone(&shared), answer.clone());
            let refused = Arc::clone(&refused);
            async move {
                let answered = answer(shared, request.into_inner()).await;
                answered.map(tonic::Response::new).map_err(|refusal| {
                    let status = Status::from(&refusal);
                    *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                    status
                })
            }
        })
    };
    let mut grpc = Grpc::new(BoundedCodec::<A, Q>::new(images))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(most);
    let answer = grpc.unary(service, request).await;
    let refused = refused
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match refused {
        // Kept for the log and the metrics; it becomes the same status there.
        Some(refusal) => refusal.into_response(),
        None => answer.map(Body::new),
    }
}
