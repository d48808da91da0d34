//! A partial download: `NAME.part`, and the note that says which version of which URL it is a part
//! of.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use odin_untrusted::file::read_regular;
use serde::{Deserialize, Serialize};

use super::checksum::Digests;
use super::lock::{IfHeld, open_locked};
use super::record::{sync_folder, write_atomically};
use crate::error::Error;

/// The largest note, in bytes. Ours are as long as an address and a header of HTTP.
const NOTE_LIMIT: u64 = 1 << 20;

/// What identifies a version of a file on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    pub(super) url: String,
    /// Bytes of the whole file.
    pub(super) length: Option<u64>,
    pub(super) validator: Option<Validator>,
}

/// A strong validator: where it is the same, every byte is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Validator {
    Etag(String),
    LastModified(String),
}

impl Validator {
    /// As the server sent it.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Etag(text) | Self::LastModified(text) => text,
        }
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
        let mut file = open_locked(&path, IfHeld::Refuse("downloaded"))?;
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
        part.version = read_regular(&part.note_path(), NOTE_LIMIT)
            .ok()
            .and_then(|text| toml::from_slice(&text).ok());
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
    /// from `url`: without a strong validator the rest may be that of another version.
    pub(super) fn resumable_from(&self, url: &str) -> Option<(&Version, &Validator)> {
        let version = self.version_from(url)?;
        Some((version, version.validator.as_ref()?))
    }

    /// Whether all bytes of the version are here.
    pub(super) fn is_complete_from(&self, url: &str) -> bool {
        let length = self.version_from(url).and_then(|version| version.length);
        length == Some(self.len)
    }

    /// Whether anything that is here saves asking `url` for it.
    pub(super) fn is_of_use_to(&self, url: &str) -> bool {
        self.is_complete_from(url) || self.resumable_from(url).is_some()
    }

    fn version_from(&self, url: &str) -> Option<&Version> {
        let version = self.version.as_ref()?;
        (self.len > 0 && version.url == url).then_some(version)
    }

    /// The length of the whole file, where the server told.
    pub(super) fn total(&self) -> Option<u64> {
        self.version.as_ref()?.length
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
        sync_folder(&self.folder);
        remove_if_there(&self.note_path())
    }

    /// Leaves nothing behind that could not be continued.
    pub(super) fn close(self) -> Result<(), Error> {
        let url = self.version.as_ref().map(|version| version.url.as_str());
        if url.is_some_and(|url| self.resumable_from(url).is_some()) {
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
