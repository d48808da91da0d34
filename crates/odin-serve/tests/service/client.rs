//! The one place that calls the service.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use odin::{CalibratedDetector, Image};
use odin_serve::{ServeOptions, Server};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;
use tower::ServiceExt;

pub(crate) fn demo(name: &str) -> PathBuf {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    demo.join(name)
}

/// A service, called without a socket.
pub(crate) struct Client {
    pub(crate) server: Server,
    runtime: Runtime,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("{e}: {}", String::from_utf8_lossy(&self.body));
        })
    }

    /// The message of an error, whose answer names the request as its header does.
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        assert_eq!(
            json["request_id"],
            self.headers["x-request-id"].to_str().unwrap()
        );
        json["error"].as_str().unwrap().to_string()
    }
}

/// A request; see [`Client::send`].
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn get(path: &str) -> Sent {
    Sent {
        method: "GET",
        path: path.to_string(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

pub(crate) fn post(path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Sent {
    Sent {
        method: "POST",
        body: body.into(),
        ..get(path).with("content-type", content_type)
    }
}

impl Sent {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn request(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body)).unwrap()
    }
}

impl Client {
    pub(crate) fn new(change: impl FnOnce(&mut ServeOptions)) -> Self {
        Self::of(demo("detector.toml"), change)
    }

    pub(crate) fn of(detector: PathBuf, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let mut options = ServeOptions::default();
        change(&mut options);
        let server = Server::open([detector], CalibratedDetector::options(), options);
        Self {
            server: server.unwrap(),
            runtime: Runtime::new().unwrap(),
        }
    }

    pub(crate) fn send(&self, sent: Sent) -> Answer {
        self.runtime.block_on(answered(self.server.router(), sent))
    }

    /// All at once; the answers in the order of the requests.
    pub(crate) fn send_all(&self, sent: Vec<Sent>) -> Vec<Answer> {
        let router = self.server.router();
        self.runtime.block_on(async {
            let all = sent.into_iter().map(|sent| {
                let router = router.clone();
                tokio::spawn(answered(router, sent))
            });
            let mut answers = Vec::new();
            for one in all.collect::<Vec<_>>() {
                answers.push(one.await.unwrap());
            }
            answers
        })
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

async fn answered(router: Router, sent: Sent) -> Answer {
    let response = router.oneshot(sent.request()).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

/// Levels of the first images of a set of the demonstration.
pub(crate) fn levels(set: &str, count: usize) -> Vec<Vec<u8>> {
    let images = CalibratedDetector::open(demo("detector.toml")).unwrap();
    let images = images.open_images(demo(set)).unwrap();
    let level = |image: Image| {
        image
            .pixels
            .iter()
            .map(|p| (255.0 * p).round() as u8)
            .collect()
    };
    (0..count)
        .map(|i| level(images.get(i).unwrap().image))
        .collect()
}

/// An 8x8 grey image as PNG.
pub(crate) fn png(levels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(levels).unwrap();
    writer.finish().unwrap();
    bytes
}
