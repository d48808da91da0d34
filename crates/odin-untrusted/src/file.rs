//! Files that end: a path may lead to a FIFO, which blocks, or to a device without an end.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::error::Error;

/// Opens a regular file for reading, or what a symbolic link to one leads to. Opening never waits,
/// also not for the writer of a FIFO.
///
/// # Errors
/// `Io` when there is no such file or it cannot be opened, `NotRegular` when it is a directory,
/// FIFO, socket or device. The message names the file.
pub fn open_regular(path: &Path) -> Result<File, Error> {
    // Looked at before it is opened, because sockets and, on Windows, directories cannot be, and
    // a device may act; and once more after, because another file may have come in its place.
    let metadata = path.metadata().map_err(|error| Error::io(path, error))?;
    check_regular(path, metadata.file_type())?;
    let file = without_waiting().open(path);
    let file = file.map_err(|error| Error::io(path, error))?;
    let metadata = file.metadata().map_err(|error| Error::io(path, error))?;
    check_regular(path, metadata.file_type())?;
    Ok(file)
}

/// The content of a regular file of at most `limit` bytes, as [`open_regular`] opens it. Of a
/// larger one nothing is read, and of one that grows meanwhile no more than the limit.
///
/// # Errors
/// Those of [`open_regular`], `Io` when reading fails or memory does not suffice, `TooLarge` when
/// the file exceeds the limit. The message names the file.
pub fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let io = |error| Error::io(path, error);
    let file = open_regular(path)?;
    let size = file.metadata().map_err(io)?.len();
    if size > limit {
        return Err(exceeds(path, size, limit));
    }
    let mut content = Vec::new();
    let reserved = content.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX));
    reserved.map_err(|error| io(error.into()))?;
    let mut file = file.take(limit.saturating_add(1));
    let read = file.read_to_end(&mut content).map_err(io)? as u64;
    match read > limit {
        true => Err(exceeds(path, read, limit)),
        false => Ok(content),
    }
}

#[cfg(unix)]
fn without_waiting() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    options.read(true);
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

#[cfg(not(unix))]
fn without_waiting() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

fn check_regular(path: &Path, found: FileType) -> Result<(), Error> {
    if found.is_file() {
        return Ok(());
    }
    let (path, found) = (shown(path), kind(found));
    Err(Error::not_regular(format!(
        "{path} is not a regular file but {found}"
    )))
}

#[cfg(unix)]
fn kind(found: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;

    match found {
        _ if found.is_dir() => "a directory",
        _ if found.is_fifo() => "a FIFO (named pipe)",
        _ if found.is_socket() => "a socket",
        _ if found.is_block_device() || found.is_char_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn kind(found: FileType) -> &'static str {
    match found.is_dir() {
        true => "a directory",
        false => "something else",
    }
}

fn exceeds(path: &Path, size: u64, limit: u64) -> Error {
    let path = shown(path);
    Error::too_large(format!(
        "{path} is too large: {size} bytes or more, and the limit is {limit} bytes"
    ))
}

fn shown(path: &Path) -> String {
    odin_error::escape(&path.display().to_string())
}

impl Error {
    fn io(path: &Path, error: io::Error) -> Self {
        Self::from_cause(crate::ErrorKind::Io, error).about(path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn scratch(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[cfg(unix)]
    fn fifo_beside(path: &Path) -> std::path::PathBuf {
        let fifo = path.with_file_name("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        fifo
    }

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let (_folder, path) = scratch(b"0123456789");
        let mut content = Vec::new();
        let mut file = open_regular(&path).unwrap();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"0123456789");
        for limit in [10, 11, u64::MAX] {
            assert_eq!(read_regular(&path, limit).unwrap(), b"0123456789");
        }
        let error = read_regular(&path, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let message = error.to_string();
        for part in ["file is too large", "10 bytes", "limit is 9 bytes"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_sparse_file_is_refused_unread() {
        let (_folder, path) = scratch(b"");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(50 << 30).unwrap();
        let error = read_regular(&path, 1 << 30).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("53687091200 bytes"), "{error}");
    }

    #[test]
    fn what_is_missing_is_an_error_of_io() {
        let (_folder, path) = scratch(b"");
        let path = path.with_file_name("no\x1bne");
        let error = read_regular(&path, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("no\\u{1b}ne: "), "{error}");
    }

    #[test]
    fn a_directory_is_refused() {
        let (folder, _path) = scratch(b"");
        assert_refused(folder.path(), "a directory");
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_is_refused_at_once() {
        let (_folder, path) = scratch(b"");
        let fifo = fifo_beside(&path);
        let link = path.with_file_name("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        let socket = path.with_file_name("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();

        assert_refused(&fifo, "a FIFO (named pipe)");
        assert_refused(&link, "a FIFO (named pipe)");
        assert_refused(&socket, "a socket");
        assert_refused(Path::new("/dev/zero"), "a device");
    }

    /// A FIFO that comes in the place of the file after the first look.
    #[cfg(unix)]
    #[test]
    fn opening_does_not_wait_for_a_writer() {
        let (_folder, path) = scratch(b"");
        let fifo = fifo_beside(&path);
        let file = without_waiting().open(&fifo).unwrap();
        let found = file.metadata().unwrap().file_type();
        assert!(check_regular(&fifo, found).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_file_is_followed() {
        let (_folder, path) = scratch(b"content");
        let link = path.with_file_name("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read_regular(&link, 100).unwrap(), b"content");
    }

    /// Files of `/proc` state a length of 0.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_length_that_is_not_stated_is_bounded_as_well() {
        let path = Path::new("/proc/self/status");
        assert!(!read_regular(path, 1 << 20).unwrap().is_empty());
        let error = read_regular(path, 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("21 bytes or more"), "{error}");
    }

    fn assert_refused(path: &Path, kind: &str) {
        let expected = format!("{} is not a regular file but {kind}", path.display());
        for error in [
            open_regular(path).unwrap_err(),
            read_regular(path, u64::MAX).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotRegular);
            assert_eq!(error.to_string(), expected);
        }
    }
}
