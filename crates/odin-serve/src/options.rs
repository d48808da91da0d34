//! How a service runs: addresses, batching, limits.

use crate::error::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a service runs. Nothing of it changes a score.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Where it listens; 127.0.0.1:8080 unless set. Port 0 is one that is free.
    pub address: SocketAddr,
    /// The file that holds the bearer token that requests must carry; none is needed unless set.
    pub token_file: Option<PathBuf>,
    /// Certificate and key of TLS; plain HTTP unless set.
    pub tls: Option<TlsFiles>,
    /// How images are gathered to batches.
    pub batching: Batching,
    /// What a request, and what all of them together, may take.
    pub limits: Limits,
    /// How long requests that are being answered have to end when the service stops.
    pub drain: Duration,
    /// The number of scores in the sliding window of the drift statistic, for each detector.
    pub window: usize,
}

/// PEM files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain of certificates, that of the service first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How images of different requests are gathered to batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// The most images of a batch.
    pub images: usize,
    /// How long the first image of a batch waits for others at most. While the engine is busy
    /// images gather by themselves, so that a wait of zero still makes full batches under load.
    pub wait: Duration,
}

/// What a request, and what all of them together, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most images that wait or are scored, of all requests.
    pub queue: usize,
    /// The most images of a request.
    pub images: usize,
    /// The most bytes of the body of a request, after decompression.
    pub body_bytes: usize,
    /// The most bytes of all bodies that are in memory.
    pub buffered_bytes: usize,
    /// The most pixels (height times width) of an image, as it is decoded.
    pub pixels: usize,
    /// The longest that a request takes: its body has this time to arrive, and its scores then
    /// have it to be computed.
    pub time: Duration,
    /// The most connections at once; further ones wait to be accepted.
    pub connections: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            token_file: None,
            tls: None,
            batching: Batching::default(),
            limits: Limits::default(),
            drain: Duration::from_secs(30),
            window: 1000,
        }
    }
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            images: 32,
            wait: Duration::ZERO,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 512,
            images: 128,
            body_bytes: 32 << 20,
            buffered_bytes: 256 << 20,
            pixels: 1 << 25,
            time: Duration::from_secs(30),
            connections: 1024,
        }
    }
}

impl ServeOptions {
    /// # Errors
    /// When one is out of its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self {
            batching, limits, ..
        } = self;
        let positive = [
            ("images of a batch", batching.images),
            ("images of the queue", limits.queue),
            ("images of a request", limits.images),
            ("bytes of a body", limits.body_bytes),
            ("bytes of all bodies", limits.buffered_bytes),
            ("pixels of an image", limits.pixels),
            ("connections", limits.connections),
            ("scores of the window", self.window),
        ];
        let invalid = |problem: String| Err(Error::new(ErrorKind::Options, problem));
        for (what, value) in positive {
            if !(1..=MOST).contains(&value) {
                return invalid(format!(
                    "the most {what} must be from 1 to {MOST}, not {value}"
                ));
            }
        }
        if limits.time.is_zero() {
            return invalid("the time of a request must be longer than zero".to_string());
        }
        for (part, whole, what) in [
            (limits.images, limits.queue, "images of a request, queue"),
            (
                limits.body_bytes,
                limits.buffered_bytes,
                "bytes of a body, of all bodies",
            ),
        ] {
            if part > whole {
                return invalid(format!(
                    "the limits contradict each other ({what}): {part} is more than {whole}"
                ));
            }
        }
        Ok(())
    }
}

/// The most of anything that is counted; what a semaphore holds, and more than any machine.
const MOST: usize = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        assert!(ServeOptions::default().check().is_ok());
        type Change = fn(&mut ServeOptions);
        let cases: [(Change, &str); 5] = [
            (|o| o.batching.images = 0, "images of a batch"),
            (|o| o.limits.pixels = usize::MAX, "pixels of an image"),
            (|o| o.limits.time = Duration::ZERO, "longer than zero"),
            (|o| o.limits.images = 513, "513 is more than 512"),
            (|o| o.limits.body_bytes = 1 << 30, "bytes of a body"),
        ];
        for (change, expected) in cases {
            let mut options = ServeOptions::default();
            change(&mut options);
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
