//! A partial download: `NAME.part`, and the note that says which version of which URL it is a part
//! of.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checksum::Digests;
use super::record::write_atomically;
use crate::error::{Error, ErrorKind};

/// What identifies a version of a file on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) url: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) total: Option<u64>,
}

impl Version {
    /// Whether nothing that both sides tell differs, and they tell enough to decide.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        self.url == other.url
            && self.total.is_some()
            && self.total == other.total
            && agree(&self.etag, &other.etag)
            && agree(&self.last_modified, &other.last_modified)
    }
}

/// The growing file. It is locked, so that two processes do not write into each other's download.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    len: u64,
    version: Option<Version>,
    pieced_together: bool,
}

impl Part {
    /// Opens or creates `NAME.part` in `folder`.
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self, Error> {
        let path = folder.join(format!("{name}.part"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Error::io("create", &path, error))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "{} is being downloaded by another process; wait for it to end",
                    path.display()
                ),
            ));
        }
        let len = file
            .seek(SeekFrom::End(0))
            .map_err(|error| Error::io("read", &path, error))?;
        let mut part = Self {
            file,
            path,
            folder: folder.to_owned(),
            len,
            version: None,
            pieced_together: len > 0,
        };
        // A note that cannot be read is no note: the download starts over.
        part.version = std::fs::read_to_string(part.note_path())
            .ok()
            .and_then(|text| toml::from_str(&text).ok());
        Ok(part)
    }

    fn note_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".toml");
        path.into()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The version that the bytes here belong to, if there are bytes and they can be continued
    /// from `url`.
    pub(super) fn resumable_from(&self, url: &str) -> Option<&Version> {
        self.version
            .as_ref()
            .filter(|version| self.len > 0 && version.url == url)
    }

    /// Whether all bytes of the version are here.
    pub(super) fn is_complete_from(&self, url: &str) -> bool {
        let total = self.resumable_from(url).and_then(|version| version.total);
        total == Some(self.len)
    }

    /// The length of the whole file, where the server told.
    pub(super) fn total(&self) -> Option<u64> {
        self.version.as_ref()?.total
    }

    /// Whether the bytes came in more than one answer.
    pub(super) fn is_pieced_together(&self) -> bool {
        self.pieced_together
    }

    /// Makes ready to go on at the end.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        self.pieced_together = true;
        let sought = self.file.seek(SeekFrom::End(0));
        sought.map_err(|error| Error::io("read", &self.path, error))?;
        Ok(())
    }

    /// Drops the bytes and starts a file of the given version.
    pub(super) fn start(&mut self, version: Version) -> Result<(), Error> {
        self.clear()?;
        let note = toml::to_string(&version)
            .map_err(|error| Error::io("write", &self.note_path(), std::io::Error::other(error)))?;
        write_atomically(&self.note_path(), &self.folder, &note)?;
        self.version = Some(version);
        Ok(())
    }

    /// Drops the bytes and what is known of them.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.version = None;
        remove_if_there(&self.note_path())?;
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|error| Error::io("empty", &self.path, error))?;
        self.len = 0;
        self.pieced_together = false;
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| Error::io("write", &self.path, error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn digests(&mut self) -> Result<Digests, Error> {
        let read = Digests::of(&mut self.file);
        read.map_err(|error| Error::io("read", &self.path, error))
    }

    /// Gives the complete file its final name.
    pub(super) fn finish(self, path: &Path) -> Result<(), Error> {
        let synced = self.file.sync_all();
        synced.map_err(|error| Error::io("write", &self.path, error))?;
        std::fs::rename(&self.path, path)
            .map_err(|error| Error::io("rename to its final name", &self.path, error))?;
        remove_if_there(&self.note_path())
    }

    /// Leaves nothing behind if nothing was received.
    pub(super) fn close(self) -> Result<(), Error> {
        if self.len > 0 {
            return Ok(());
        }
        remove_if_there(&self.note_path())?;
        remove_if_there(&self.path)
    }
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
