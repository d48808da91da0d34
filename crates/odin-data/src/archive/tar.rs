//! Uncompressed tar archives as lists of files.

use std::io;
use std::sync::Arc;

use odin_untrusted::tar::{Archive, BLOCK, Kind};

use super::{Blob, BlobReader, Entry, Listing, Store, check_count, check_file_size, clean_name};
use crate::error::{Error, ErrorKind};

/// The regular files of an uncompressed tar archive. Links, devices and sparse files are left
/// out.
pub(crate) struct Tar {
    blob: Arc<Blob>,
    /// `Entry::place` is the offset of the file's content.
    listing: Listing,
}

impl Tar {
    pub(crate) fn open(blob: Arc<Blob>, location: &str) -> Result<Self, Error> {
        Ok(Self {
            listing: Listing::of_archive(location, index(&blob, location)?),
            blob,
        })
    }
}

fn index(blob: &Arc<Blob>, location: &str) -> Result<Vec<Entry>, Error> {
    let not_whole = || {
        let message = format!("{location} is not a whole tar archive");
        Error::malformed(message)
    };
    let damaged = |e: odin_untrusted::Error| not_whole().because(e);
    let mut archive = Archive::new(BlobReader::new(Arc::clone(blob)));
    let mut members = archive.members_with_seek(u64::MAX).map_err(damaged)?;
    let mut entries = Vec::new();
    while let Some(member) = members.next().transpose().map_err(damaged)? {
        if member.kind == Kind::File {
            entries.push(Entry {
                name: clean_name(&member.name),
                place: member.start,
                size: member.size,
            });
            check_count(entries.len(), location)?;
        }
    }
    if members.end().saturating_add(BLOCK) > blob.len() {
        let message = "it ends before its end mark; it may be truncated";
        let end = io::Error::new(io::ErrorKind::UnexpectedEof, message);
        return Err(not_whole().because(end));
    }
    Ok(entries)
}

impl Store for Tar {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn read(&self, index: usize) -> Result<Vec<u8>, Error> {
        let entry = &self.entries()[index];
        check_file_size(entry.size, &self.title(index))?;
        self.blob.read(entry.place, entry.size).map_err(|e| {
            let message = format!("cannot read {}", self.title(index));
            Error::new(ErrorKind::Io, message).because(e)
        })
    }
}
