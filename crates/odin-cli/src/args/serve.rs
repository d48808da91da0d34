//! The options of `odin serve`, each of which may be an environment variable instead.

use super::shared::{DeviceOptions, positive, threads};
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Answers requests with the decisions of calibrated detectors: the Open Inference Protocol
/// (KServe V2) over HTTP and gRPC, a plain API, metrics, and a page to try images on.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin serve detector.toml                         then open http://127.0.0.1:8080/
  curl --data-binary @photo.jpg http://127.0.0.1:8080/v1/score
  odin serve cats.toml dogs.toml --host 0.0.0.0 --token-file token --tls-cert c.pem --tls-key k.pem
  kill -HUP PID                                    opens the detectors anew

A detector's name is that of its file without the ending. Each option may also be given as the
environment variable in brackets. The first SIGTERM or Ctrl-C lets requests end, the second ends
them. docs/serve.md describes the routes; /openapi.json is for programs.")]
pub(crate) struct Serve {
    /// What `odin calibrate` wrote, one or more detector.toml
    #[arg(
        required = true,
        value_name = "DETECTOR",
        env = "ODIN_SERVE_DETECTORS",
        value_delimiter = ','
    )]
    pub(crate) detectors: Vec<PathBuf>,

    /// The address to listen on; 0.0.0.0 is all of them
    #[arg(
        long,
        value_name = "IP",
        default_value = "127.0.0.1",
        env = "ODIN_SERVE_HOST"
    )]
    pub(crate) host: IpAddr,

    /// The port to listen on, for HTTP and gRPC; 0 is one that is free
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8080,
        env = "ODIN_SERVE_PORT"
    )]
    pub(crate) port: u16,

    /// The model file, if it is no longer where the only detector says
    #[arg(long, value_name = "FILE", env = "ODIN_SERVE_NN")]
    pub(crate) nn: Option<PathBuf>,

    /// How the log on standard error is written
    #[arg(long, value_enum, default_value = "text", env = "ODIN_SERVE_LOG")]
    pub(crate) log: LogArg,

    /// Send a span for each request to the OpenTelemetry collector at this address, such as
    /// http://localhost:4317 (OTLP over gRPC)
    #[cfg(feature = "opentelemetry")]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub(crate) otlp: Option<String>,

    /// The scores of each detector in the sliding window of the drift statistic
    #[arg(long, value_name = "N", default_value_t = 1000, env = "ODIN_SERVE_WINDOW", value_parser = positive::<usize>)]
    pub(crate) window: usize,

    /// The file of the token that requests must carry (Authorization: Bearer TOKEN)
    #[arg(
        long,
        value_name = "FILE",
        env = "ODIN_SERVE_TOKEN_FILE",
        help_heading = "Safety"
    )]
    pub(crate) token_file: Option<PathBuf>,

    /// The certificate of TLS and its chain, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "ODIN_SERVE_TLS_CERT",
        requires = "tls_key",
        help_heading = "Safety"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "ODIN_SERVE_TLS_KEY",
        requires = "tls_cert",
        help_heading = "Safety"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// The most images of a batch
    #[arg(long, value_name = "N", default_value_t = 32, env = "ODIN_SERVE_BATCH_SIZE", value_parser = positive::<usize>, help_heading = "Batching")]
    pub(crate) batch_size: usize,

    /// Milliseconds that the first image of a batch waits for others; at 0 batches still gather
    /// while the engine is busy
    #[arg(long, value_name = "MS", default_value_t = 0.0, env = "ODIN_SERVE_BATCH_WAIT", value_parser = milliseconds, help_heading = "Batching")]
    pub(crate) batch_wait: f64,

    /// The number of threads of each detector [default: the available cores]
    #[arg(long, value_name = "N", env = "ODIN_SERVE_THREADS", value_parser = threads, help_heading = "Batching")]
    pub(crate) threads: Option<usize>,

    /// The most images that wait or are scored; more are answered with 429
    #[arg(long, value_name = "N", default_value_t = 512, env = "ODIN_SERVE_MAX_QUEUE", value_parser = positive::<usize>, help_heading = "Limits")]
    pub(crate) max_queue: usize,

    /// The most images of a request
    #[arg(long, value_name = "N", default_value_t = 128, env = "ODIN_SERVE_MAX_IMAGES", value_parser = positive::<usize>, help_heading = "Limits")]
    pub(crate) max_images: usize,

    /// The largest body of a request, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 32, env = "ODIN_SERVE_MAX_BODY", value_parser = positive::<usize>, help_heading = "Limits")]
    pub(crate) max_body: usize,

    /// The most memory for all bodies, in MiB; more are answered with 429
    #[arg(long, value_name = "MIB", default_value_t = 256, env = "ODIN_SERVE_MAX_BODIES", value_parser = positive::<usize>, help_heading = "Limits")]
    pub(crate) max_bodies: usize,

    /// The most pixels (height times width) of an image
    #[arg(long, value_name = "N", default_value_t = 1 << 25, env = "ODIN_SERVE_MAX_PIXELS", value_parser = positive::<usize>, help_heading = "Limits")]
    pub(crate) max_pixels: usize,

    /// Seconds in which a body must arrive, and its scores must then be there
    #[arg(long, value_name = "S", default_value_t = 30.0, env = "ODIN_SERVE_TIMEOUT", value_parser = seconds, help_heading = "Limits")]
    pub(crate) timeout: f64,

    /// The most connections; further ones wait
    #[arg(long, value_name = "N", default_value_t = 1024, env = "ODIN_SERVE_MAX_CONNECTIONS", value_parser = positive::<usize>, help_heading = "Limits")]
    pub(crate) max_connections: usize,

    /// Seconds that requests have to end in when the service is told to end
    #[arg(long, value_name = "S", default_value_t = 30.0, env = "ODIN_SERVE_DRAIN", value_parser = seconds, help_heading = "Limits")]
    pub(crate) drain: f64,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogArg {
    /// For people
    Text,
    /// An object of JSON on each line
    Json,
}

impl Serve {
    pub(crate) fn batch_wait(&self) -> Duration {
        Duration::from_secs_f64(self.batch_wait / 1e3)
    }
}

/// The longest time that an option takes, in seconds: a day.
const LONGEST: f64 = 86400.0;

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it is no number".to_string())?;
    match (0.0..=LONGEST).contains(&value) {
        true => Ok(value),
        false => Err(format!("it must be from 0 to {LONGEST}")),
    }
}

fn milliseconds(text: &str) -> Result<f64, String> {
    seconds(text)
}
