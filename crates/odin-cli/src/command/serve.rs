//! `odin serve`: answers requests with the decisions of calibrated detectors.

use crate::args::{LogArg, Serve, UsageError};
use crate::resolve::device;
use anyhow::{Context, Result, bail};
use odin::CalibratedDetector;
use odin_serve::{Batching, Limits, LogFormat, Reloader, ServeOptions, Server, TlsFiles, log_to};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;

pub(crate) fn run(args: &Serve) -> Result<()> {
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let _traces = runtime.block_on(async { observed(args) })?;
    // Signals are waited for before anything else: the first would end the process.
    let signals = runtime.block_on(async { Signals::new() })?;
    let server = open(args)?;
    let open = runtime.block_on(answer(server, signals))?;
    // Work that nobody waits for any more is not waited for either.
    runtime.shutdown_background();
    match open {
        0 => Ok(()),
        open => bail!("requests that were not answered within the time of --drain: {open}"),
    }
}

fn log_format(args: &Serve) -> LogFormat {
    match args.log {
        LogArg::Text => LogFormat::Text,
        LogArg::Json => LogFormat::Json,
    }
}

/// The log, and where spans of requests are sent to; both until what is given is dropped.
#[cfg(feature = "opentelemetry")]
fn observed(args: &Serve) -> Result<Option<odin_serve::Traces>> {
    match &args.otlp {
        Some(collector) => {
            let traces = odin_serve::log_and_trace_to(log_format(args), std::io::stderr, collector);
            Ok(Some(traces.context("--otlp")?))
        }
        None => {
            log_to(log_format(args), std::io::stderr);
            Ok(None)
        }
    }
}

/// Nothing is sent by this build.
#[cfg(not(feature = "opentelemetry"))]
struct NoTraces;

#[cfg(not(feature = "opentelemetry"))]
#[expect(clippy::unnecessary_wraps, reason = "the other build may fail")]
fn observed(args: &Serve) -> Result<NoTraces> {
    log_to(log_format(args), std::io::stderr);
    Ok(NoTraces)
}

fn open(args: &Serve) -> Result<Server> {
    let device = device::chosen(&args.device)?;
    let mut open = CalibratedDetector::options()
        .threads(device::threads(args.threads))
        .batch_size(args.batch_size);
    if let Some(nn) = &args.nn {
        if args.detectors.len() > 1 {
            let problem = "--nn: several detectors may have several models; serve them one by one";
            return Err(UsageError(problem.to_string()).into());
        }
        open = open.model(nn);
    }
    let (open, looked) = device::on(open, device, &args.device)?;
    let server = Server::open(args.detectors.clone(), open, options(args));
    match looked.is_empty() {
        true => Ok(server?),
        false => server.with_context(|| format!("device {device} (looked for in: {looked})")),
    }
}

fn options(args: &Serve) -> ServeOptions {
    let mut options = ServeOptions::default();
    options.address = SocketAddr::new(args.host, args.port);
    options.token_file = args.token_file.clone();
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    options.tls = tls.map(|(certificate, key)| TlsFiles { certificate, key });
    options.batching = Batching {
        images: args.batch_size,
        wait: args.batch_wait(),
    };
    options.limits = Limits {
        queue: args.max_queue,
        images: args.max_images,
        body_bytes: args.max_body.saturating_mul(1 << 20),
        buffered_bytes: args.max_bodies.saturating_mul(1 << 20),
        pixels: args.max_pixels,
        time: Duration::from_secs_f64(args.timeout),
        connections: args.max_connections,
    };
    options.drain = Duration::from_secs_f64(args.drain);
    options.window = args.window;
    options
}

/// Answers until a signal; gives the number of requests that did not end in time.
async fn answer(server: Server, signals: Signals) -> Result<usize> {
    let Signals { mut end, reload } = signals;
    let bound = server.bind().await?;
    tokio::spawn(reload.each(bound.reloader()));
    let (told, ending) = tokio::sync::oneshot::channel::<()>();
    let run = bound.run(async {
        // An end that is dropped is one, too.
        let _ = ending.await;
    });
    let told_twice = async {
        end.next().await;
        let _ = told.send(());
        end.next().await;
    };
    tokio::select! {
        open = run => Ok(open),
        () = told_twice => bail!("ended at once; requests that had begun were not answered"),
    }
}

/// The signals that a service listens to.
struct Signals {
    end: Ending,
    reload: Reloading,
}

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM.
#[cfg(unix)]
struct Ending(Signal, Signal);

/// SIGHUP.
#[cfg(unix)]
struct Reloading(Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self> {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self {
            end: Ending(signal(interrupt)?, signal(terminate)?),
            reload: Reloading(signal(SignalKind::hangup())?),
        })
    }
}

#[cfg(unix)]
impl Ending {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(unix)]
impl Reloading {
    /// Opens the detectors anew at each signal. What goes wrong is in the log.
    async fn each(mut self, reloader: Reloader) {
        while self.0.recv().await.is_some() {
            let _ = reloader.reload().await;
        }
    }
}

#[cfg(not(unix))]
struct Ending;

#[cfg(not(unix))]
struct Reloading;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            end: Ending,
            reload: Reloading,
        })
    }
}

#[cfg(not(unix))]
impl Ending {
    async fn next(&mut self) {
        // Without the signal nothing ends the service but its process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
impl Reloading {
    async fn each(self, _: Reloader) {}
}
