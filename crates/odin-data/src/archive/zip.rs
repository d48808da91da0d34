use std::io::Read;
use std::sync::Arc;

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::{
    Blob, BlobReader, Entry, Store, Unpack, check_count, check_file_size, clean_name, in_order,
};
use crate::error::{Error, ErrorKind};

/// The files of a zip archive, stored or deflated.
pub(crate) struct Zip {
    location: String,
    archive: ZipArchive<BlobReader>,
    /// `Entry::place` is the member's number.
    entries: Vec<Entry>,
}

impl Zip {
    pub(crate) fn open(blob: Arc<Blob>, location: &str) -> Result<Self, Error> {
        let damaged = |e: ZipError| {
            let message = format!("{location} is not a whole zip archive");
            Error::new(ErrorKind::Malformed, message).because(e)
        };
        let archive = ZipArchive::new(BlobReader::new(blob)).map_err(damaged)?;
        check_count(archive.len(), location)?;
        let mut entries = Vec::new();
        for number in 0..archive.len() {
            let member = archive.by_index_data(number).map_err(damaged)?;
            if member.is_file() {
                entries.push(Entry {
                    name: clean_name(member.name().map_err(damaged)?.as_bytes()),
                    place: number as u64,
                    size: member.size(),
                });
            }
        }
        Ok(Self {
            location: location.to_owned(),
            archive,
            entries: in_order(entries),
        })
    }

    /// A member of any size, for reading at any offset.
    pub(crate) fn unpack(&self, index: usize, unpack: &Unpack) -> Result<Blob, Error> {
        let title = self.title(index);
        self.with_member(index, |member, packed| unpack.run(member, packed, &title))
    }

    /// Calls `action` with the member's content and its packed size. The archive is cloned (a
    /// reference count and a position) so that threads read side by side.
    pub(crate) fn with_member<T>(
        &self,
        index: usize,
        action: impl FnOnce(&mut dyn Read, u64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut archive = self.archive.clone();
        let mut member = archive
            .by_index(self.entries[index].place as usize)
            .map_err(|e| unreadable(&self.title(index), e))?;
        let packed = member.compressed_size();
        action(&mut member, packed)
    }
}

fn unreadable(title: &str, error: ZipError) -> Error {
    let kind = match error {
        ZipError::UnsupportedArchive(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Malformed,
    };
    Error::new(kind, format!("cannot read {title}")).because(error)
}

impl Store for Zip {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn is_archive(&self) -> bool {
        true
    }

    fn read(&self, index: usize) -> Result<Vec<u8>, Error> {
        let title = self.title(index);
        let size = self.entries[index].size;
        check_file_size(size, &title)?;
        self.with_member(index, |member, _| {
            let mut bytes = Vec::new();
            member
                .take(size.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|e| unreadable(&title, e.into()))?;
            Ok(bytes)
        })
    }
}
