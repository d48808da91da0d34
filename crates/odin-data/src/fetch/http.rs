//! Sends one HTTP request and classifies the response.

use std::io::{self, Read};
use std::time::Duration;

use odin_untrusted::file::read_regular;
use ureq::http::{HeaderMap, StatusCode, header, response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::options::FetchOptions;
use super::pace::{Pace, Paced};
use super::part::{Validator, Version};
use crate::error::Error;

/// The largest file of certificates, in bytes. Those of a whole system take a few hundred thousand.
const CERTIFICATES_LIMIT: u64 = 16 << 20;

/// Why a request did not bring the file.
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
        /// Whether its end can be told from that of a connection which was cut.
        has_end: bool,
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
        .timeout_recv_response(Some(options.read_timeout))
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
        let pem = read_regular(path, CERTIFICATES_LIMIT);
        let pem = pem.map_err(|error| Error::unreadable_file(error).about("certificates"))?;
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

/// A part of a file that is here.
pub(super) struct Resume<'a> {
    /// Its bytes.
    pub(super) from: u64,
    /// The bytes of the whole file.
    pub(super) length: Option<u64>,
    /// What the whole file must still have.
    pub(super) validator: &'a Validator,
}

/// Asks for the file at `url`, or for the rest of it if it is still the one of which a part is
/// here. Its body fails when it comes too slowly.
pub(super) fn get(
    agent: &Agent,
    url: &str,
    resume: Option<Resume<'_>>,
    pace: Pace,
) -> Result<Answer, Failure> {
    let mut request = agent
        .get(url)
        .header(header::ACCEPT_ENCODING, "identity")
        .config()
        // HTTPS must not be redirected to plain HTTP.
        .https_only(url.starts_with("https://"))
        .build();
    if let Some(part) = &resume {
        request = request
            .header(header::RANGE, format!("bytes={}-", part.from))
            .header(header::IF_RANGE, part.validator.as_str());
    }
    let response = request.call().map_err(|error| failure(&error))?;
    let (head, body) = response.into_parts();
    let length = body.content_length();
    match (head.status, resume) {
        (StatusCode::OK, _) => Ok(Answer::Whole {
            version: Version {
                url: url.to_owned(),
                length,
                validator: validator(&head.headers),
            },
            content_type: text(&head.headers, header::CONTENT_TYPE),
            has_end: has_end(&head),
            body: Box::new(Paced::new(body.into_reader(), pace)),
        }),
        (StatusCode::PARTIAL_CONTENT, Some(part)) if part.continues_with(&head, length) => {
            Ok(Answer::Rest(Box::new(Paced::new(body.into_reader(), pace))))
        }
        (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
            Ok(Answer::CannotResume)
        }
        (status, _) => Err(refused(status)),
    }
}

impl Resume<'_> {
    /// Whether a partial answer of this length is exactly the rest, of the same version.
    fn continues_with(&self, head: &response::Parts, length: Option<u64>) -> bool {
        let same = match self.validator {
            Validator::Etag(etag) => Some(etag) == text(&head.headers, header::ETAG).as_ref(),
            Validator::LastModified(date) => {
                Some(date) == text(&head.headers, header::LAST_MODIFIED).as_ref()
            }
        };
        let range = text(&head.headers, header::CONTENT_RANGE);
        let range = range.as_deref().and_then(ContentRange::parse);
        same && range.is_some_and(|range| {
            range.is_rest_from(self.from)
                && self.length == Some(range.total)
                && length.is_none_or(|length| length == range.total - range.first)
        })
    }
}

/// How much older than the answer a file must be for its date to say that it is the same: a date
/// has no fractions of a second, and two clocks may differ.
const DATE_IS_STRONG_AFTER: Duration = Duration::from_secs(60);

/// The strong validator of an answer (RFC 9110, 8.8), if it has one. A weak entity tag does not
/// promise the same bytes, nor does the date of a file that was changed just now.
fn validator(headers: &HeaderMap) -> Option<Validator> {
    let etag = text(headers, header::ETAG).filter(|etag| !etag.starts_with("W/"));
    if let Some(etag) = etag {
        return Some(Validator::Etag(etag));
    }
    let date = |name| httpdate::parse_http_date(&text(headers, name)?).ok();
    let age = date(header::DATE)?.duration_since(date(header::LAST_MODIFIED)?);
    let is_strong = age.is_ok_and(|age| age >= DATE_IS_STRONG_AFTER);
    let text = text(headers, header::LAST_MODIFIED).filter(|_| is_strong);
    text.map(Validator::LastModified)
}

/// Whether the answer says where its body ends.
fn has_end(head: &response::Parts) -> bool {
    let coding = text(&head.headers, header::TRANSFER_ENCODING).unwrap_or_default();
    let mut codings = coding.split(',').map(str::trim);
    let is_chunked = codings.any(|coding| coding.eq_ignore_ascii_case("chunked"));
    head.headers.contains_key(header::CONTENT_LENGTH)
        || (is_chunked && head.version == ureq::http::Version::HTTP_11)
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
