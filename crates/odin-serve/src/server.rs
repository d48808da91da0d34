//! The service: opened, bound, run until it is told to end.

use crate::detectors::{Detectors, Sources};
use crate::error::{Error, ErrorKind};
use crate::exposition::Exposition;
use crate::front::router;
use crate::listen;
use crate::options::ServeOptions;
use crate::request_id::RequestIds;
use crate::service::Service;
use crate::shared::Shared;
use crate::tls;
use crate::token::Token;
use axum::Router;
use odin::OpenDetector;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;

/// A service whose detectors are open. It answers once [`Server::bind`] has given it an address and
/// [`BoundServer::run`] is called, within a Tokio runtime.
#[derive(Debug)]
pub struct Server {
    options: ServeOptions,
    sources: Sources,
    shared: Arc<Shared>,
    router: Router,
    tls: Option<Tls>,
}

/// What accepts TLS connections, without a `Debug` of its own.
struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Server {
    /// Opens detectors, each named after its file without the ending; `open` says how: threads,
    /// device, where the model is.
    ///
    /// # Errors
    /// When a detector does not open or two have the same name, an option is out of its range, or
    /// the token or the files of TLS cannot be used.
    pub fn open(
        files: impl IntoIterator<Item = PathBuf>,
        open: OpenDetector,
        options: ServeOptions,
    ) -> Result<Self, Error> {
        options.check()?;
        let token = options.token_file.as_deref().map(Token::read).transpose()?;
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let sources = Sources {
            files: files.into_iter().collect(),
            open,
        };
        let detectors = Detectors::open(&sources, &options)?;
        let decoders = std::thread::available_parallelism().map_or(1, usize::from);
        let service = Arc::new(Service::new(detectors, options.limits, decoders));
        let exposition = Exposition::new(
            &service.requests,
            Arc::clone(&service.detectors),
            Arc::clone(&service.admission),
        );
        let shared = Arc::new(Shared {
            service,
            exposition,
            token,
            request_ids: RequestIds::new(),
        });
        Ok(Self {
            router: router(Arc::clone(&shared))?,
            options,
            sources,
            shared,
            tls: tls.map(Tls),
        })
    }

    /// The routes, for a program that serves them beside its own. Address, TLS, connections and
    /// drain are then that program's.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// What opens the detectors anew while the service runs.
    pub fn reloader(&self) -> Reloader {
        Reloader {
            sources: self.sources.clone(),
            options: self.options.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Listens on the address of the options.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(self) -> Result<BoundServer, Error> {
        let address = self.options.address;
        let cannot =
            |e| Error::new(ErrorKind::Address, format!("cannot listen on {address}")).because(e);
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(BoundServer {
            server: self,
            listener,
            address,
        })
    }
}

/// A service with an address.
#[derive(Debug)]
pub struct BoundServer {
    server: Server,
    listener: TcpListener,
    address: SocketAddr,
}

/// Opens the detectors of a running service anew. A clone is of the same service.
#[derive(Debug, Clone)]
pub struct Reloader {
    sources: Sources,
    options: ServeOptions,
    shared: Arc<Shared>,
}

impl Reloader {
    /// Opens all detectors anew from their files. Requests that have begun end with the detectors
    /// that they began with; none is dropped.
    ///
    /// # Errors
    /// When one does not open. Then all stay as they are.
    pub async fn reload(&self) -> Result<(), Error> {
        let this = self.clone();
        let reload = move || {
            let detectors = &this.shared.service.detectors;
            detectors.reload(&this.sources, &this.options)
        };
        let reloaded = spawn_blocking(reload).await.unwrap_or_else(|_| {
            let problem = "a defect: opening the detectors did not end";
            Err(Error::new(ErrorKind::Detector, problem))
        });
        match &reloaded {
            Ok(()) => self.shared.service.detectors.log("opened anew"),
            Err(error) => tracing::error!(%error, "the detectors stay as they were"),
        }
        reloaded
    }
}

impl BoundServer {
    /// The address, with the port that was free where the options say 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What opens the detectors anew while the service runs.
    pub fn reloader(&self) -> Reloader {
        self.server.reloader()
    }

    /// Answers requests until `ending`, then lets those that have begun end, for at most
    /// [`ServeOptions::drain`]. Gives the number of requests that did not end in time.
    pub async fn run(self, ending: impl Future<Output = ()>) -> usize {
        let Server {
            options,
            shared,
            router,
            tls,
            ..
        } = self.server;
        let service = Arc::clone(&shared.service);
        let scheme = if tls.is_some() { "https" } else { "http" };
        service.detectors.log("opened");
        tracing::info!("listening on {scheme}://{}/", self.address);
        if !self.address.ip().is_loopback() && shared.token.is_none() {
            tracing::warn!(
                "anyone who reaches this address may use it, since no token is asked for"
            );
        }
        let ending = async {
            ending.await;
            service.end();
            tracing::info!("ending: requests that have begun are answered");
        };
        listen::serve(
            self.listener,
            tls.map(|tls| tls.0),
            router,
            options.limits,
            ending,
            (options.drain, || service.in_flight()),
        )
        .await
    }
}
