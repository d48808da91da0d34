//! Any bytes as the body of a request to the service: whatever it is, the answer is one of a client's
//! mistakes or a success, and never that of a defect.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use odin::CalibratedDetector;
use odin_serve::{ServeOptions, Server};
use std::path::Path;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// Path, content type and content encoding of a body, chosen by the first byte of the input.
const ROUTES: [(&str, &str, &str); 9] = [
    ("/v1/score", "image/png", "identity"),
    ("/v1/score", "application/json", "identity"),
    ("/v1/score", "multipart/form-data; boundary=b", "identity"),
    ("/v1/score", "application/json", "gzip"),
    ("/v1/explore?temperature=10", "image/png", "identity"),
    ("/v2/models/detector/infer", "application/json", "identity"),
    ("/v2/models/detector/infer", BINARY, "identity"),
    ("/v2/models/detector/infer", BINARY, "deflate"),
    (
        "/inference.GRPCInferenceService/ModelInfer",
        "application/grpc",
        "identity",
    ),
];

/// The next two bytes are then the length of the JSON in front of the tensors.
const BINARY: &str = "application/octet-stream";

/// Runs the target on one input.
pub fn run(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let (path, content_type, encoding) = ROUTES[usize::from(*first) % ROUTES.len()];
    let mut request = Request::post(path)
        .header("content-type", content_type)
        .header("content-encoding", encoding);
    let mut body = rest;
    if content_type == BINARY
        && let Some((length, rest)) = rest.split_first_chunk::<2>()
    {
        let length = u16::from_le_bytes(*length);
        request = request.header("inference-header-content-length", length);
        body = rest;
    }
    let Ok(request) = request.body(Body::from(body.to_vec())) else {
        return;
    };
    let (server, runtime) = service();
    let answer = runtime.block_on(server.router().oneshot(request));
    let status = answer.map(|answer| answer.status());
    assert_ne!(status, Ok(StatusCode::INTERNAL_SERVER_ERROR));
}

/// The detector of the demonstration, opened once.
fn service() -> &'static (Server, Runtime) {
    static SERVICE: OnceLock<(Server, Runtime)> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/detector.toml");
        let open = CalibratedDetector::options();
        let server = Server::open([demo], open, ServeOptions::default());
        let runtime = Builder::new_current_thread().enable_all().build();
        (server.expect("it opens"), runtime.expect("it starts"))
    })
}
