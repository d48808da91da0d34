//! Accepts connections, and lets them end when the service does.

use crate::options::Limits;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// How long a connection may say nothing, beyond the time that a request has.
const IDLE: Duration = Duration::from_secs(45);
/// How long a client may take until it is known what it speaks: the handshake of TLS, or its first
/// bytes.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and a connection of HTTP/1.1 be idle before the next:
/// longer than the proxies in front of a service keep theirs.
const HEAD: Duration = Duration::from_secs(75);
/// The pause after a connection that cannot be accepted, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// The most requests at once on a connection of HTTP/2.
const STREAMS: u32 = 128;

/// Connections are answered by the router until `ending`; then the requests that have begun have the
/// time `drain` to end. `in_flight` counts them. Gives the number of those that did not.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    ending: impl Future<Output = ()>,
    (drain, in_flight): (Duration, impl Fn() -> usize),
) -> usize {
    let graceful = GracefulShutdown::new();
    let ended = watch::Sender::new(false);
    let room = Arc::new(Semaphore::new(
        limits.connections.min(Semaphore::MAX_PERMITS),
    ));
    let accepting = async {
        loop {
            // Never closed.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let connection = Connection {
                router: router.clone(),
                tls: tls.clone(),
                idle: limits.time + IDLE,
                watcher: graceful.watcher(),
            };
            let mut ended = ended.subscribe();
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.serve(stream, &mut ended).await {
                    // Clients that go away or speak something else are none of our errors.
                    tracing::debug!("a connection ended: {error}");
                }
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = ending => {}
    }
    drop(listener);
    ended.send_replace(true);
    tokio::select! {
        () = graceful.shutdown() => 0,
        () = quiet(&in_flight) => 0,
        () = sleep(drain) => in_flight(),
    }
}

/// Waits until there has been no request for a while: connections that are still open then have
/// none, such as that of a client that has said half of a head.
async fn quiet(in_flight: impl Fn() -> usize) {
    let mut seen = 0;
    while seen < QUIET {
        sleep(GLANCE).await;
        seen = if in_flight() == 0 { seen + 1 } else { 0 };
    }
}

struct Connection {
    router: Router,
    tls: Option<TlsAcceptor>,
    idle: Duration,
    watcher: Watcher,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The versions of HTTP that a connection may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
}

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The pause before a client that sends its first bytes one by one is looked at again; it doubles.
const GLANCE: Duration = Duration::from_millis(20);
const LONGEST_GLANCE: Duration = Duration::from_millis(500);
/// So many glances without a request are a quiet end: a second.
const QUIET: u32 = 50;

impl Spoken {
    /// By the first bytes, which stay where they are.
    async fn by(stream: &TcpStream) -> io::Result<Self> {
        let mut first = [0; PREFACE.len()];
        let mut pause = GLANCE;
        loop {
            let seen = stream.peek(&mut first).await?;
            match &first[..seen] {
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                PREFACE => return Ok(Self::Http2),
                begun if !PREFACE.starts_with(begun) => return Ok(Self::Http1),
                _ => sleep(pause).await,
            }
            pause = LONGEST_GLANCE.min(2 * pause);
        }
    }

    /// By what was agreed on in the handshake.
    fn agreed(protocol: Option<&[u8]>) -> Self {
        match protocol {
            Some(b"h2") => Self::Http2,
            _ => Self::Http1,
        }
    }
}

impl Connection {
    /// Until it is known what is spoken, the end of the service ends the connection at once.
    async fn serve(
        self,
        stream: TcpStream,
        ended: &mut watch::Receiver<bool>,
    ) -> Result<(), AnyError> {
        // Answers are small: each is sent at once.
        stream.set_nodelay(true)?;
        match self.tls.clone() {
            None => {
                let spoken = tokio::select! {
                    spoken = timeout(HANDSHAKE, Spoken::by(&stream)) => spoken??,
                    _ = ended.wait_for(|ended| *ended) => return Ok(()),
                };
                self.speak(spoken, stream).await
            }
            Some(tls) => {
                let stream = tokio::select! {
                    stream = timeout(HANDSHAKE, tls.accept(stream)) => stream??,
                    _ = ended.wait_for(|ended| *ended) => return Ok(()),
                };
                let spoken = Spoken::agreed(stream.get_ref().1.alpn_protocol());
                self.speak(spoken, stream).await
            }
        }
    }

    async fn speak(
        self,
        spoken: Spoken,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
    ) -> Result<(), AnyError> {
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(Some(self.idle));
        stream.set_write_timeout(Some(self.idle));
        let mut builder = match spoken {
            Spoken::Http1 => Builder::new(TokioExecutor::new()).http1_only(),
            Spoken::Http2 => Builder::new(TokioExecutor::new()).http2_only(),
        };
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(IDLE);
        let service = TowerToHyperService::new(self.router);
        let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
        self.watcher.watch(connection.into_owned()).await
    }
}
