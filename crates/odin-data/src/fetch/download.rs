//! Downloads one file from the first of its URLs that serves it, with retries.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;

use super::http::{self, Answer, Failure, Resume};
use super::options::{Check, FetchOptions, Progress};
use super::pace::Pace;
use super::part::Part;
use super::record::settle;
use crate::error::Error;
use crate::registry::{Checksums, RemoteFile};

const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// How many bytes are looked at to tell a file from a web page.
const SNIFFED: usize = 512;

/// What became of a file.
pub(super) enum Outcome {
    Done(Download),
    /// How each address failed.
    Failed(Vec<SourceFailure>),
    /// Somebody else has put it there meanwhile.
    AlreadyThere,
}

/// A complete, verified file under its final name.
pub(super) struct Download {
    pub(super) path: PathBuf,
    pub(super) url: String,
    pub(super) check: Check,
}

/// Why the file could not be had from a URL.
pub(super) struct SourceFailure {
    pub(super) url: String,
    pub(super) reason: String,
    pub(super) wrong_checksum: bool,
}

/// Tries the addresses in order. The error is one of the disk, which ends everything.
pub(super) fn download(
    agent: &Agent,
    file: &RemoteFile,
    data_dir: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<Outcome, Error> {
    let path = data_dir.join(&file.name);
    let mut transfer = Transfer {
        agent,
        file,
        data_dir,
        options,
        progress,
        part: Part::open(data_dir, &file.name)?,
    };
    // Only now nobody else can be about to do so.
    if path.exists() {
        transfer.part.close()?;
        return Ok(Outcome::AlreadyThere);
    }
    // First the address that what is here came from, so that it is not lost.
    let mut urls: Vec<_> = file.urls.iter().collect();
    urls.sort_by_key(|url| !transfer.part.is_of_use_to(url));
    let mut failures = Vec::new();
    for url in urls {
        match transfer.from(url) {
            Ok(Ok(check)) => {
                transfer.part.finish(&path)?;
                let url = url.clone();
                return Ok(Outcome::Done(Download { path, url, check }));
            }
            Ok(Err(failure)) => {
                let reason = &failure.reason;
                (transfer.progress)(&Progress::SourceFailed { url, reason });
                failures.push(failure);
            }
            Err(error) => {
                transfer.part.close()?;
                return Err(error);
            }
        }
    }
    transfer.part.close()?;
    Ok(Outcome::Failed(failures))
}

struct Transfer<'a> {
    agent: &'a Agent,
    file: &'a RemoteFile,
    data_dir: &'a Path,
    options: &'a FetchOptions,
    progress: &'a mut dyn FnMut(&Progress<'_>),
    part: Part,
}

impl Transfer<'_> {
    /// Receives the whole file from one address and verifies it, with retries.
    fn from(&mut self, url: &str) -> Result<Result<Check, SourceFailure>, Error> {
        let failed = |reason: String, wrong_checksum| SourceFailure {
            url: url.to_owned(),
            reason,
            wrong_checksum,
        };
        let mut retries = 0;
        let mut second_chance = true;
        loop {
            match self.receive(url)? {
                Ok(()) => match self.verify()? {
                    Ok(check) => return Ok(Ok(check)),
                    // Its parts may be of different versions after all, whatever the server said.
                    Err(_) if second_chance && self.part.is_pieced_together() => {
                        second_chance = false;
                        self.part.clear()?;
                    }
                    Err(mismatch) => {
                        self.part.clear()?;
                        return Ok(Err(failed(format!("wrong content: {mismatch}"), true)));
                    }
                },
                Err(Failure::Temporary(reason)) if retries < self.options.retries => {
                    let after = backoff(self.options.backoff, retries);
                    let reason = &reason;
                    (self.progress)(&Progress::Retrying { url, reason, after });
                    std::thread::sleep(after);
                    retries += 1;
                }
                Err(Failure::Temporary(reason)) => {
                    let reason = format!("{reason}; given up after {retries} retries");
                    return Ok(Err(failed(reason, false)));
                }
                Err(Failure::Permanent(reason)) => return Ok(Err(failed(reason, false))),
            }
        }
    }

    fn verify(&mut self) -> Result<Result<Check, String>, Error> {
        let path = self.part.path();
        (self.progress)(&Progress::Verifying { path });
        let digests = self.part.digests()?;
        settle(self.file, &digests, self.data_dir)
    }

    /// One request, or two when what is here turns out to be no part of what the server has.
    fn receive(&mut self, url: &str) -> Result<Result<(), Failure>, Error> {
        if self.part.is_complete_from(url) {
            return Ok(Ok(()));
        }
        let pace = Pace {
            bytes_per_second: self.options.min_rate,
            over: self.options.rate_time,
        };
        let resumable = self.part.resumable_from(url);
        let resume = resumable.map(|(version, validator)| Resume {
            from: self.part.len(),
            length: version.length,
            validator,
        });
        let answer = match http::get(self.agent, url, resume, pace) {
            Ok(Answer::CannotResume) => {
                self.part.clear()?;
                http::get(self.agent, url, None, pace)
            }
            other => other,
        };
        match answer {
            Ok(Answer::Whole {
                version,
                content_type,
                has_end,
                mut body,
            }) => {
                if !has_end && let Err(failure) = self.check_end_is_known() {
                    return Ok(Err(failure));
                }
                let start = match sniff(&mut body, &self.file.name, content_type.as_deref()) {
                    Ok(start) => start,
                    Err(failure) => return Ok(Err(failure)),
                };
                if let Err(failure) = self.check_size(version.length) {
                    return Ok(Err(failure));
                }
                self.part.start(version)?;
                self.append(url, &mut start.chain(body))
            }
            Ok(Answer::Rest(mut body)) => {
                self.part.resume()?;
                self.append(url, &mut body)
            }
            Ok(Answer::CannotResume) => Ok(Err(Failure::Permanent(
                "the server answers a plain request with a part of the file".to_owned(),
            ))),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Copies the body to the end of what is here.
    fn append(&mut self, url: &str, body: &mut dyn Read) -> Result<Result<(), Failure>, Error> {
        let total = self.part.total();
        (self.progress)(&Progress::Started {
            file: &self.file.name,
            url,
            resumed_at: self.part.len(),
            total,
        });
        let mut buffer = vec![0; 1 << 16];
        loop {
            let bytes = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => &buffer[..n],
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(http::read_failure(&error))),
            };
            self.part.append(bytes)?;
            let bytes = self.part.len();
            if let Err(failure) = self.check_size_so_far(bytes) {
                self.part.clear()?;
                return Ok(Err(failure));
            }
            if let Some(total) = total.filter(|&total| bytes > total) {
                self.part.clear()?;
                return Ok(Err(Failure::Temporary(format!(
                    "the server sent more than the {total} bytes that it said the file has"
                ))));
            }
            (self.progress)(&Progress::Received { bytes, total });
        }
        let len = self.part.len();
        Ok(match total {
            Some(total) if len < total => Err(Failure::Temporary(format!(
                "the connection ended after {len} of {total} bytes"
            ))),
            _ if len == 0 => Err(Failure::Permanent(
                "the server sent an empty file".to_owned(),
            )),
            _ => Ok(()),
        })
    }

    /// Refuses a body that ends with its connection where nothing could tell that it was cut.
    fn check_end_is_known(&self) -> Result<(), Failure> {
        if self.file.size.is_some() || self.file.checksums != Checksums::default() {
            return Ok(());
        }
        Err(Failure::Permanent(
            "the server does not say how long the file is, and the registry knows neither its \
             size nor a checksum, so that a part of it could not be told from the whole"
                .to_owned(),
        ))
    }

    fn check_size(&self, total: Option<u64>) -> Result<(), Failure> {
        match (total, self.file.size) {
            (Some(total), Some(size)) if total != size => Err(Failure::Permanent(format!(
                "the server has a file of {total} bytes, expected {size}"
            ))),
            (Some(total), _) => self.check_size_so_far(total),
            (None, _) => Ok(()),
        }
    }

    fn check_size_so_far(&self, bytes: u64) -> Result<(), Failure> {
        let limit = self.file.size.unwrap_or(self.options.max_download_bytes);
        if bytes <= limit {
            return Ok(());
        }
        Err(Failure::Permanent(format!(
            "the file is larger than {limit} bytes, {}",
            match self.file.size {
                Some(_) => "its size in the registry",
                None => "the limit for a file whose size is not known",
            }
        )))
    }
}

fn backoff(first: Duration, retries: u32) -> Duration {
    first
        .saturating_mul(2u32.saturating_pow(retries))
        .min(LONGEST_BACKOFF)
}

/// Reads the first bytes of a file and refuses what is plainly not that file: file hosts answer
/// with a web page, and "200 OK", when a link is dead.
fn sniff(
    body: &mut dyn Read,
    name: &str,
    content_type: Option<&str>,
) -> Result<std::io::Cursor<Vec<u8>>, Failure> {
    let mut start = Vec::new();
    let read = body.take(SNIFFED as u64).read_to_end(&mut start);
    read.map_err(|error| http::read_failure(&error))?;
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    let is_zip = start.starts_with(b"PK");
    let called_page = content_type.is_some_and(|t| t.trim().starts_with("text/html"));
    if looks_like_html(&start) || (called_page && !is_gzip && !is_zip) {
        let reason = "the server sent a web page instead of the file; the link may be dead";
        return Err(Failure::Permanent(reason.to_owned()));
    }
    let not_a = |format: &str| {
        Err(Failure::Permanent(format!(
            "what the server sent is not a {format} file"
        )))
    };
    match name.rsplit_once('.') {
        Some((_, "gz" | "tgz")) if !is_gzip => not_a("gzip"),
        Some((_, "zip")) if !is_zip => not_a("zip"),
        _ => Ok(std::io::Cursor::new(start)),
    }
}

fn looks_like_html(start: &[u8]) -> bool {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let text = text.trim_ascii_start().to_ascii_lowercase();
    text.starts_with(b"<!doctype html") || text.starts_with(b"<html")
}
