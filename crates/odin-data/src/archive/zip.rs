//! Zip archives as lists of files.

use std::io::Read;
use std::sync::Arc;

use odin_untrusted::inflate::Budget;
use odin_untrusted::zip::{Archive, Kind};

use super::{
    Blob, BlobReader, Entry, LeftOut, Listing, Store, Unpack, check_file_size, clean_zip_name,
};
use crate::error::{Error, ErrorKind};

/// The files of a zip archive, stored or deflated.
pub(crate) struct Zip {
    archive: Archive<BlobReader>,
    /// `Entry::place` is the member's number.
    listing: Listing,
}

impl Zip {
    pub(crate) fn open(blob: Arc<Blob>, location: &str) -> Result<Self, Error> {
        let archive = Archive::open(BlobReader::new(blob)).map_err(|e| {
            let message = format!("{location} is not a whole zip archive");
            match e.kind() {
                odin_untrusted::ErrorKind::TooLarge => Error::unsupported(location).because(e),
                _ => Error::malformed(message).because(e),
            }
        })?;
        let (mut entries, mut left_out) = (Vec::new(), LeftOut::default());
        for (number, member) in archive.members().iter().enumerate() {
            let name = clean_zip_name(member.name.as_bytes());
            match member.kind {
                // A folder in the spelling of Windows.
                Kind::File if member.size == 0 && member.name.ends_with('\\') => {}
                Kind::File => entries.push(Entry {
                    name,
                    place: number as u64,
                    size: member.size,
                }),
                Kind::Folder => {}
                Kind::Link => left_out.add(name),
            }
        }
        Ok(Self {
            archive,
            listing: Listing::of_archive(location, entries, left_out),
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
        let content = archive.content(self.entries()[index].place as usize);
        let (mut content, packed) = content.map_err(|e| unreadable(&self.title(index), e))?;
        action(&mut content, packed)
    }
}

fn unreadable(title: &str, error: odin_untrusted::Error) -> Error {
    let kind = match error.kind() {
        odin_untrusted::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Malformed,
    };
    Error::new(kind, format!("cannot read {title}")).because(error)
}

impl Store for Zip {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn read(&self, index: usize) -> Result<Vec<u8>, Error> {
        let title = self.title(index);
        let size = self.entries()[index].size;
        check_file_size(size, &title)?;
        self.with_member(index, |member, _| {
            let content = Budget::new(size).read(member);
            content.map_err(|e| unreadable(&title, e))
        })
    }
}
