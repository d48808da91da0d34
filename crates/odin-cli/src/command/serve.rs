//! `odin serve`: answers requests with the decisions of calibrated detectors.

use crate::args::{LogArg, Serve, UsageError};
use crate::output::progress::say;
use crate::resolve::device;
use anyhow::{Context, Result, bail};
use odin::CalibratedDetector;
use odin_serve::{
    Batching, BoundServer, Limits, LogFormat, Reloader, ServeOptions, Server, TlsFiles, log_to,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;

pub(crate) fn run(args: &Serve) -> Result<()> {
    let format = match args.log {
        LogArg::Text => LogFormat::Text,
        LogArg::Json => LogFormat::Json,
    };
    log_to(format, std::io::stderr);
    let server = open(args)?;
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let open = runtime.block_on(answer(server, args))?;
    // Work that nobody waits for any more is not waited for either.
    runtime.shutdown_background();
    match open {
        0 => Ok(()),
        open => bail!("{open} connections did not end within the time of --drain"),
    }
}

fn open(args: &Serve) -> Result<Server> {
    let device = device::chosen(&args.device)?;
    let mut open = CalibratedDetector::options().threads(device::threads(args.threads));
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

/// Answers until a signal; gives the number of connections that did not end in time.
async fn answer(server: Server, args: &Serve) -> Result<usize> {
    let names = server.detectors();
    let bound = server.bind().await?;
    announce(&bound, &names, args);
    let reloader = bound.reloader();
    tokio::spawn(reload_on_signal(reloader));
    let mut signals = Ending::new()?;
    let (end, ending) = tokio::sync::oneshot::channel::<()>();
    let run = bound.run(async {
        // An end that is dropped is one, too.
        let _ = ending.await;
    });
    let told_twice = async {
        signals.next().await;
        say("ending: requests that have begun are answered; once more ends at once");
        let _ = end.send(());
        signals.next().await;
    };
    tokio::select! {
        open = run => Ok(open),
        () = told_twice => bail!("ended at once; requests that had begun were not answered"),
    }
}

fn announce(bound: &BoundServer, names: &[(String, String)], args: &Serve) {
    let scheme = if args.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    for (name, version) in names {
        say(&format!("  detector {name}, version {version}"));
    }
    if !args.host.is_loopback() && args.token_file.is_none() {
        say("  anyone who reaches this address may use it: --token-file asks for a token");
    }
    say(&format!("  listening on {scheme}://{}/", bound.address()));
}

/// The signals that end a service.
#[cfg(unix)]
struct Ending(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Ending {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Ending;

#[cfg(not(unix))]
impl Ending {
    fn new() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without the signal nothing ends the service but its process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Opens the detectors anew at each SIGHUP.
#[cfg(unix)]
async fn reload_on_signal(reloader: Reloader) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return say(&format!("SIGHUP cannot be waited for: {error}")),
    };
    while hangup.recv().await.is_some() {
        match reloader.reload().await {
            Ok(()) => say("the detectors were opened anew"),
            Err(error) => say(&format!("the detectors stay as they were: {error}")),
        }
    }
}

#[cfg(not(unix))]
async fn reload_on_signal(_: Reloader) {}
