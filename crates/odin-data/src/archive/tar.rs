use std::io::{self, Read};
use std::sync::Arc;

use ::tar::{Archive, EntryType, PaxExtensions};

use super::{Blob, BlobReader, Entry, Store, check_count, check_file_size, clean_name, in_order};
use crate::error::{Error, ErrorKind};

const BLOCK: u64 = 512;

/// The longest member name, in a GNU or PAX extension header.
const MAX_NAME: u64 = 1 << 16;

/// The regular files of an uncompressed tar archive. Links, devices and sparse files are left
/// out.
pub(crate) struct Tar {
    location: String,
    blob: Arc<Blob>,
    /// `Entry::place` is the offset of the file's content.
    entries: Vec<Entry>,
}

impl Tar {
    pub(crate) fn open(blob: Arc<Blob>, location: &str) -> Result<Self, Error> {
        Ok(Self {
            location: location.to_owned(),
            entries: in_order(index(&blob, location)?),
            blob,
        })
    }
}

fn index(blob: &Arc<Blob>, location: &str) -> Result<Vec<Entry>, Error> {
    let damaged = |e: io::Error| {
        let message = format!("{location} is not a whole tar archive");
        Error::new(ErrorKind::Malformed, message).because(e)
    };
    let mut archive = Archive::new(BlobReader::new(Arc::clone(blob)));
    let members = archive.entries_with_seek().map_err(damaged)?.raw(true);
    let mut entries = Vec::new();
    // Extension headers are read here and not by the `tar` crate, which would load names of any
    // length.
    let mut long_name = None;
    let mut end = 0;
    for member in members {
        let mut member = member.map_err(damaged)?;
        let (place, size) = (member.raw_file_position(), member.size());
        end = place.saturating_add(size.next_multiple_of(BLOCK));
        match member.header().entry_type() {
            EntryType::GNULongName => {
                let name = read_extension(&mut member, size).map_err(damaged)?;
                long_name = Some(name.split(|&b| b == 0).next().unwrap_or(&[]).to_vec());
            }
            EntryType::XHeader => {
                let records = read_extension(&mut member, size).map_err(damaged)?;
                long_name = pax_path(&records).map_err(damaged)?.or(long_name);
            }
            EntryType::XGlobalHeader | EntryType::GNULongLink => {}
            EntryType::Regular | EntryType::Continuous => {
                let name = long_name.take();
                let name = name.unwrap_or_else(|| member.path_bytes().into_owned());
                // Before POSIX a folder was a regular file whose name ends in a slash.
                if !name.ends_with(b"/") {
                    entries.push(Entry {
                        name: clean_name(&name),
                        place,
                        size,
                    });
                    check_count(entries.len(), location)?;
                }
            }
            _ => long_name = None,
        }
    }
    // A block of zeros follows the last member. Without it, members may be missing.
    if end.saturating_add(BLOCK) > blob.len() {
        let message = "it ends before its end mark; it may be truncated";
        return Err(damaged(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            message,
        )));
    }
    Ok(entries)
}

fn read_extension(member: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > MAX_NAME {
        return Err(io::Error::other(
            "an extension header of more than 65536 bytes",
        ));
    }
    let mut bytes = Vec::new();
    member.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn pax_path(records: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut path = None;
    for record in PaxExtensions::new(records) {
        let record = record?;
        match record.key_bytes() {
            b"path" => path = Some(record.value_bytes().to_vec()),
            b"size" => {
                let message = "a member of 8 GiB or more, or with its size in a PAX header";
                return Err(io::Error::other(message));
            }
            _ => {}
        }
    }
    Ok(path)
}

impl Store for Tar {
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
        let entry = &self.entries[index];
        check_file_size(entry.size, &self.title(index))?;
        self.blob.read(entry.place, entry.size).map_err(|e| {
            let message = format!("cannot read {}", self.title(index));
            Error::new(ErrorKind::Io, message).because(e)
        })
    }
}
