//! Uncompressed tar archives as lists of files.

use std::io;
use std::sync::Arc;

use odin_untrusted::tar::{Archive, BLOCK, Kind};

use super::{
    Blob, BlobReader, Entry, LeftOut, Listing, Store, check_count, check_file_size, clean_name,
    in_order,
};
use crate::error::{Error, ErrorKind};

/// The regular files of an uncompressed tar archive, under all names that hard links give them.
/// Symbolic links and devices are left out.
pub(crate) struct Tar {
    blob: Arc<Blob>,
    /// `Entry::place` is the offset of the file's content.
    listing: Listing,
}

impl Tar {
    pub(crate) fn open(blob: Arc<Blob>, location: &str) -> Result<Self, Error> {
        let (entries, left_out) = index(&blob, location)?;
        Ok(Self {
            listing: Listing::of_archive(location, entries, left_out),
            blob,
        })
    }
}

fn index(blob: &Arc<Blob>, location: &str) -> Result<(Vec<Entry>, LeftOut), Error> {
    let not_whole = || {
        let message = format!("{location} is not a whole tar archive");
        Error::malformed(message)
    };
    let damaged = |e: odin_untrusted::Error| match e.kind() {
        odin_untrusted::ErrorKind::Unsupported => Error::unsupported(location).because(e),
        _ => not_whole().because(e),
    };
    let mut archive = Archive::new(BlobReader::new(Arc::clone(blob)));
    let mut members = archive.members_with_seek(u64::MAX).map_err(damaged)?;
    let (mut entries, mut links, mut left_out) = (Vec::new(), Vec::new(), LeftOut::default());
    while let Some(member) = members.next().transpose().map_err(damaged)? {
        let name = clean_name(&member.name);
        match (member.kind, member.hard_link) {
            (Kind::File, _) => entries.push(Entry {
                name,
                place: member.start,
                size: member.size,
            }),
            (Kind::Folder, _) => {}
            (Kind::Other, Some(target)) => links.push((name, clean_name(&target))),
            (Kind::Other, None) => left_out.add(name),
        }
        check_count(entries.len() + links.len(), location)?;
    }
    if members.end().saturating_add(BLOCK) > blob.len() {
        let message = "it ends before its end mark; it may be truncated";
        let end = io::Error::new(io::ErrorKind::UnexpectedEof, message);
        return Err(not_whole().because(end));
    }
    let mut entries = in_order(entries);
    follow(links, &mut entries, &mut left_out);
    Ok((entries, left_out))
}

/// Adds an entry for each hard link, a name and the name of the file that it shares. `entries` are
/// sorted.
fn follow(links: Vec<(String, String)>, entries: &mut Vec<Entry>, left_out: &mut LeftOut) {
    let files = entries.len();
    for (name, target) in links {
        let found = entries[..files].binary_search_by(|e| e.name.cmp(&target));
        match found.map(|at| (entries[at].place, entries[at].size)) {
            Ok((place, size)) => entries.push(Entry { name, place, size }),
            Err(_) => left_out.add(name),
        }
    }
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
