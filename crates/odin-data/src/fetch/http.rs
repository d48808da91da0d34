//! Sends one HTTP request and classifies the response.

use std::io::{self, Read};

use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::options::FetchOptions;
use super::part::Version;
use crate::error::Error;

/// Why a request failed.
pub(super) enum Failure {
    /// The same request may succeed later.
    Temporary(String),
    /// The same request would fail again.
    Permanent(String),
}

/// The response of a server.
pub(super) enum Answer {
    /// The whole file.
    Whole {
        version: Version,
        content_type: Option<String>,
        body: Box<dyn Read>,
    },
    /// The file from the asked-for byte to its end.
    Rest(Box<dyn Read>),
    /// What is here cannot be continued; it has to start over.
    CannotResume,
}

/// The client. It reads nothing from the environment.
pub(super) fn agent(options: &FetchOptions) -> Result<Agent, Error> {
    let config = Agent::config_builder()
        .proxy(
            options
                .proxy
                .as_deref()
                .map(|p| proxy(p, &options.no_proxy))
                .transpose()?,
        )
        .tls_config(tls(options)?)
        .http_status_as_error(false)
        .max_redirects(options.max_redirects)
        .timeout_connect(Some(options.connect_timeout))
        .timeout_resolve(Some(options.connect_timeout))
        .timeout_per_read(Some(options.read_timeout))
        .timeout_per_write(Some(options.read_timeout))
        .max_idle_connections(0)
        .user_agent(concat!("odin/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(config.into())
}

fn proxy(address: &str, no_proxy: &[String]) -> Result<Proxy, Error> {
    let invalid = |error: ureq::Error| {
        Error::invalid("the proxy address is not of the form http://host:port").because(error)
    };
    let parsed = Proxy::new(address).map_err(invalid)?;
    let mut builder = Proxy::builder(parsed.protocol())
        .host(parsed.host())
        .port(parsed.port());
    if let Some(username) = parsed.username() {
        builder = builder.username(username);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in no_proxy {
        builder = builder.no_proxy(host);
    }
    builder.build().map_err(invalid)
}

fn tls(options: &FetchOptions) -> Result<TlsConfig, Error> {
    let mut builder = TlsConfig::builder();
    if let Some(path) = &options.root_certificates {
        let pem = std::fs::read(path)
            .map_err(|error| Error::io("read the certificate file", path, error))?;
        let certificates: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(Error::invalid(format!(
                "{} holds no certificate in PEM form",
                path.display()
            )));
        }
        builder = builder.root_certs(RootCerts::new_with_certs(&certificates));
    }
    Ok(builder.build())
}

/// Asks for the file at `url`, from byte `resume.0` on if given and if it is still of the version
/// `resume.1`.
pub(super) fn get(
    agent: &Agent,
    url: &str,
    resume: Option<(u64, &Version)>,
) -> Result<Answer, Failure> {
    let mut request = agent
        .get(url)
        .header(header::ACCEPT_ENCODING, "identity")
        .config()
        // HTTPS must not be redirected to plain HTTP.
        .https_only(url.starts_with("https://"))
        .build();
    if let Some((from, version)) = resume {
        request = request.header(header::RANGE, format!("bytes={from}-"));
        if let Some(validator) = strong_validator(version) {
            request = request.header(header::IF_RANGE, validator);
        }
    }
    let response = request.call().map_err(|error| failure(&error))?;
    let (head, body) = response.into_parts();
    let length = body.content_length();
    match (head.status, resume) {
        (StatusCode::OK, _) => Ok(Answer::Whole {
            version: version(url, &head.headers, length),
            content_type: text(&head.headers, header::CONTENT_TYPE),
            body: Box::new(body.into_reader()),
        }),
        (StatusCode::PARTIAL_CONTENT, Some((from, expected))) => {
            let range = text(&head.headers, header::CONTENT_RANGE);
            let range = range.as_deref().and_then(ContentRange::parse);
            let total = range.as_ref().map(|range| range.total);
            let same = version(url, &head.headers, total).is_same_as(expected);
            match range {
                Some(range) if same && range.is_rest_from(from) => {
                    Ok(Answer::Rest(Box::new(body.into_reader())))
                }
                _ => Ok(Answer::CannotResume),
            }
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => Ok(Answer::CannotResume),
        (status, _) => Err(refused(status)),
    }
}

/// The value for If-Range. A weak entity tag does not promise the same bytes.
fn strong_validator(version: &Version) -> Option<&str> {
    let etag = version.etag.as_deref();
    etag.filter(|etag| !etag.starts_with("W/"))
        .or(version.last_modified.as_deref())
}

fn version(url: &str, headers: &HeaderMap, total: Option<u64>) -> Version {
    Version {
        url: url.to_owned(),
        etag: text(headers, header::ETAG),
        last_modified: text(headers, header::LAST_MODIFIED),
        total,
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// `bytes FIRST-LAST/TOTAL`
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: u64,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        Some(Self {
            first: number(first)?,
            last: number(last)?,
            total: number(total)?,
        })
    }

    fn is_rest_from(&self, from: u64) -> bool {
        self.first == from && self.last.checked_add(1) == Some(self.total) && from < self.total
    }
}

fn refused(status: StatusCode) -> Failure {
    let reason = format!("the server answered {status}");
    match status.as_u16() {
        408 | 425 | 429 | 500 | 502 | 503 | 504 => Failure::Temporary(reason),
        _ => Failure::Permanent(reason),
    }
}

fn failure(error: &ureq::Error) -> Failure {
    let reason = reason(error);
    match error {
        ureq::Error::Io(error) if !is_cut(error.kind()) => Failure::Permanent(reason),
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::ConnectionFailed
        | ureq::Error::BodyStalled
        | ureq::Error::Protocol(_) => Failure::Temporary(reason),
        _ => Failure::Permanent(reason),
    }
}

/// Whether a connection existed and was lost. Without a network, or with a wrong address, there
/// is none, and asking again at once is of no use.
fn is_cut(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::TimedOut
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
    )
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(ureq::Timeout::PerRead) => {
            "the server stopped sending (no bytes for too long)".to_owned()
        }
        ureq::Error::Timeout(_) => "the server did not answer in time".to_owned(),
        ureq::Error::HostNotFound => "the host was not found; is there a network?".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::TooManyRedirects => "too many redirects".to_owned(),
        ureq::Error::RequireHttpsOnly(_) => {
            "it redirects to a connection that is not encrypted".to_owned()
        }
        other => other.to_string(),
    }
}

/// Why reading a body failed.
pub(super) fn read_failure(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    Failure::Temporary(inner.map_or_else(|| error.to_string(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (text, expected) in [
            ("bytes 5-9/10", range(5, 9, 10)),
            ("bytes 0-0/1", range(0, 0, 1)),
            ("bytes 5-9/*", None),
            ("bytes */10", None),
            ("items 5-9/10", None),
            ("bytes 5-99999999999999999999/10", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn only_the_rest_of_the_file_continues_it() {
        for (text, from, rest) in [
            ("bytes 5-9/10", 5, true),
            ("bytes 4-9/10", 5, false),
            ("bytes 5-8/10", 5, false),
            ("bytes 5-4/5", 5, false),
            ("bytes 5-18446744073709551615/10", 5, false),
        ] {
            let range = ContentRange::parse(text).unwrap();
            assert_eq!(range.is_rest_from(from), rest, "{text}");
        }
    }
}
