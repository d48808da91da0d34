//! TLS by rustls.

use crate::error::{Error, ErrorKind};
use crate::options::TlsFiles;
use odin_untrusted::file::read_regular;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// PEM files are not larger.
const MAX_PEM: u64 = 1 << 20;

/// HTTP/2 for gRPC, HTTP/1.1 for the rest.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What accepts TLS connections.
///
/// # Errors
/// When a file cannot be read, or certificate and key do not belong together.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, Error> {
    let certificates = read(&files.certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificates)
        .collect::<Result<_, _>>()
        .map_err(|e| error(&files.certificate, "this is no certificate in PEM").because(e))?;
    if chain.is_empty() {
        return Err(error(&files.certificate, "it holds no certificate in PEM"));
    }
    let key = read(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|e| error(&files.key, "this is no private key in PEM").because(e))?;
    let unusable = |e| {
        let problem = "certificate and key cannot be used";
        error(&files.certificate, problem).because(e)
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    read_regular(path, MAX_PEM).map_err(|e| error(path, "cannot read it").because(e))
}

fn error(path: &Path, problem: &str) -> Error {
    Error::new(ErrorKind::Tls, problem).about(path.display())
}
