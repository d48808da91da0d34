//! Calibrated detectors as a service: the Open Inference Protocol (KServe V2), a plain API with an
//! OpenAPI document, metrics for Prometheus, and a page to try images on.
//!
//! ```no_run
//! use odin::CalibratedDetector;
//! use odin_serve::{ServeOptions, Server};
//!
//! # async fn example() -> Result<(), odin_serve::Error> {
//! let open = CalibratedDetector::options().threads(4);
//! let server = Server::open(["detector.toml".into()], open, ServeOptions::default())?;
//! let bound = server.bind().await?;
//! println!("http://{}", bound.address());
//! bound.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! Images of all requests are gathered to batches, whose scores are those of each image alone, bit
//! for bit. Everything that a request may take is bounded ([`Limits`]).

mod admission;
mod base64_images;
mod batcher;
mod body;
mod codes;
mod detectors;
mod error;
mod exposition;
mod few;
mod front;
mod grpc;
mod http;
mod images;
mod infer;
mod info;
mod listen;
mod logs;
mod options;
mod refusal;
mod request_id;
mod server;
mod service;
mod shared;
mod telemetry;
mod tls;
mod token;

pub use error::{Error, ErrorKind};
pub use logs::{LogFormat, log_to};
#[cfg(feature = "opentelemetry")]
pub use logs::{Traces, log_and_trace_to};
pub use options::{Batching, Limits, ServeOptions, TlsFiles};
pub use server::{BoundServer, Reloader, Server};
