//! Gets the files of a registry entry: found where they lie already, or downloaded, verified and
//! unpacked.
//!
//! A file appears under its final name only when it is complete and its checksum is right. Until
//! then it grows as `NAME.part`, with a note `NAME.part.toml` that says which version of which
//! address it is a part of. Whatever ends a download early (a cut connection, Ctrl-C, a full
//! disk) leaves just these two, and the next call goes on from there. Where the registry knows no
//! checksum, the first one seen is recorded in `checksums.toml` in the data folder and checked
//! from then on, which finds changes but verifies nothing. An archive is unpacked into a folder
//! beside, of which one renaming makes the content. `docs/registry.md` gives the rules in full.

mod checksum;
mod download;
mod http;
mod lock;
mod options;
mod pace;
mod part;
mod record;
mod unpack;

use std::path::{Path, PathBuf};

use odin_untrusted::file::open_regular;

pub use options::{Check, FetchOptions, Fetched, Progress, UnpackLimits};

use crate::error::{Error, ErrorKind};
use crate::registry::{Entry, Located, RemoteFile, archive_paths};
use checksum::Digests;
use download::{Download, Outcome};

/// Gets the content of `entry` into `data_dir`, which is created if needed.
///
/// Uses no network when the content lies there already (see [`Entry::locate`]). Otherwise the
/// entry's files are tried in order, each at its addresses in order. `progress` is called often;
/// it must be quick.
///
/// # Errors
/// `Checksum` if a file is not what it should be; `Network` if no address worked, with all the
/// reasons and the other ways to get the file; `NotFound` for an entry without an address, or
/// offline; `Malformed` for an archive that does not unpack or exceeds the limits; `Io` for the
/// disk; `Invalid` for a bad proxy or certificate file.
pub fn fetch(
    entry: &Entry,
    data_dir: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<Fetched, Error> {
    match entry.locate(data_dir) {
        Located::Generated(_) => Ok(Fetched::Generated),
        Located::Here(path) => {
            let check = match file_at(entry, &path, data_dir) {
                Some(file) => verify_present(file, &path, data_dir, progress)?,
                None => Check::Unchecked,
            };
            Ok(Fetched::Present { path, check })
        }
        Located::Packed(archive) => {
            let file = file_at(entry, &archive, data_dir).ok_or_else(|| no_address(entry))?;
            let check = verify_present(file, &archive, data_dir, progress)?;
            let path = ready(entry, file, archive, check, data_dir, options, progress)?;
            Ok(Fetched::Present { path, check })
        }
        Located::Missing { looked_at, how } if options.offline => {
            let looked_at: Vec<_> = looked_at.iter().map(|p| p.display().to_string()).collect();
            Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "{} is not here and the network may not be used (offline); looked at {}; {how}",
                    entry.name,
                    looked_at.join(", ")
                ),
            ))
        }
        Located::Missing { .. } => fetch_missing(entry, data_dir, options, progress),
    }
}

fn fetch_missing(
    entry: &Entry,
    data_dir: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<Fetched, Error> {
    if entry.files.is_empty() {
        return Err(no_address(entry));
    }
    std::fs::create_dir_all(data_dir)
        .map_err(|error| Error::io("create the data folder", data_dir, error))?;
    let agent = http::agent(options)?;
    let mut failures = Vec::new();
    for file in &entry.files {
        match download::download(&agent, file, data_dir, options, progress)? {
            Outcome::Done(Download { path, url, check }) => {
                let path = ready(entry, file, path, check, data_dir, options, progress)?;
                return Ok(Fetched::Downloaded { path, check, url });
            }
            Outcome::AlreadyThere => return fetch(entry, data_dir, options, progress),
            Outcome::Failed(failed) => failures.extend(failed),
        }
    }
    Err(download_error(entry, data_dir, &failures))
}

/// The file of the entry that lies at `path` under its own name.
fn file_at<'a>(entry: &'a Entry, path: &Path, data_dir: &Path) -> Option<&'a RemoteFile> {
    let lies_there = |file: &&RemoteFile| {
        archive_paths(entry, &file.name, data_dir)
            .iter()
            .any(|p| p == path)
    };
    entry.files.iter().find(lies_there)
}

fn verify_present(
    file: &RemoteFile,
    path: &Path,
    data_dir: &Path,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<Check, Error> {
    progress(&Progress::Verifying { path });
    let mut content = open_regular(path).map_err(Error::unreadable_file)?;
    let digests = Digests::of(&mut content).map_err(|error| Error::io("read", path, error))?;
    record::settle(file, &digests, data_dir)?.map_err(|mismatch| {
        Error::new(
            ErrorKind::Checksum,
            format!(
                "{} is not the expected file: {mismatch}; move it away and fetch it again",
                path.display()
            ),
        )
    })
}

/// The path to read for a file that is here: its member, unpacked first if need be, or itself.
fn ready(
    entry: &Entry,
    file: &RemoteFile,
    path: PathBuf,
    check: Check,
    data_dir: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> Result<PathBuf, Error> {
    let Some(member) = file.member.as_ref().filter(|_| file.unpack) else {
        return Ok(path);
    };
    progress(&Progress::Unpacking { path: &path });
    let unpacked = unpack::unpack(&path, data_dir, &entry.name, member, &options.unpack_limits);
    if unpacked.is_err() && check == Check::FirstSeen {
        // Another version of a file that does not unpack must be welcome.
        record::forget(data_dir, &file.name)?;
    }
    unpacked
}

fn no_address(entry: &Entry) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!(
            "{} cannot be fetched: the registry {} knows no address for it",
            entry.name, entry.origin
        ),
    )
}

/// The message when every address failed: the reasons, and the other ways to get the content.
fn download_error(entry: &Entry, data_dir: &Path, failures: &[download::SourceFailure]) -> Error {
    let mut message = format!("cannot download {}:", entry.name);
    for failure in failures {
        message += &format!("\n  {}: {}", failure.url, failure.reason);
    }
    message += "\nother ways to get it:";
    for file in &entry.files {
        message += &format!(
            "\n  - open {} in a browser and save it as {} ({})",
            file.urls.join(" or "),
            data_dir.join(&file.name).display(),
            file.checksums
        );
    }
    if let Some(rebuild) = entry.dataset().and_then(|dataset| dataset.rebuild.as_ref()) {
        message += &format!(
            "\n  - rebuild it: get {from}, and use it with the transform `{}` (the same kind of \
             images, not the same files)",
            rebuild.transform_text,
            from = rebuild.from,
        );
    }
    if let Some(hint) = &entry.hint {
        message += &format!("\n  - {hint}");
    }
    let kind = match failures.iter().any(|failure| failure.wrong_checksum) {
        true => ErrorKind::Checksum,
        false => ErrorKind::Network,
    };
    Error::new(kind, message)
}
