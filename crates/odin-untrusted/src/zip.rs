//! Zip archives: stored and deflated members.

mod end_record;

use std::io::{Read, Seek};
use std::sync::Arc;

use ::zip::ZipArchive;
use ::zip::read::{ArchiveOffset, Config};
use ::zip::result::ZipError;

use crate::error::{Error, ErrorKind};
use crate::guard::{Contained, Panicked, contain};
use end_record::EndRecord;

/// The most entries of a directory, of which each takes some hundred bytes of memory.
pub const MAX_MEMBERS: u64 = 1 << 21;

/// A zip archive. Clones share its directory, so that each thread may have one.
#[derive(Debug, Clone)]
pub struct Archive<R> {
    zip: ZipArchive<R>,
    members: Arc<[Member]>,
}

/// An entry of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name, of the archive's choice.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How many bytes it unpacks to, as the directory says it. It may unpack to more.
    pub size: u64,
}

/// What a [`Member`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory.
    ///
    /// # Errors
    /// `Damaged` when it is none, `Unsupported` when it uses what is not read, `TooLarge` when it
    /// has more than [`MAX_MEMBERS`] entries.
    pub fn open(mut source: R) -> Result<Self, Error> {
        let end = EndRecord::find(&mut source);
        let end = end.map_err(|e| Error::from_cause(ErrorKind::Damaged, e))?;
        if end.is_some_and(|end| end.entries > MAX_MEMBERS) {
            let message = format!("it holds more than {MAX_MEMBERS} files");
            return Err(Error::too_large(message));
        }
        let start = end.and_then(|end| end.archive_start);
        contain(|| Self::open_at(start, source)).unwrap_or_else(|panicked| Err(broken(panicked)))
    }

    /// `start` is where the archive begins, where that is known.
    fn open_at(start: Option<u64>, source: R) -> Result<Self, Error> {
        let archive_offset = start.map_or(ArchiveOffset::Detect, ArchiveOffset::Known);
        let zip = ZipArchive::with_config(Config { archive_offset }, source).map_err(described)?;
        let member = |i: usize| {
            let entry = zip.by_index_data(i).map_err(described)?;
            Ok(Member {
                name: entry.name().map_err(described)?.into_owned(),
                kind: match (entry.is_file(), entry.is_dir()) {
                    (true, _) => Kind::File,
                    (_, true) => Kind::Folder,
                    _ => Kind::Link,
                },
                size: entry.size(),
            })
        };
        let members = (0..zip.len()).map(member).collect::<Result<_, Error>>()?;
        Ok(Self { zip, members })
    }

    /// The entries of the directory.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether two entries of the directory have one name. Of these, [`members`](Self::members)
    /// has the last only.
    pub fn has_duplicate_names(&self) -> bool {
        self.zip.has_duplicate_names()
    }

    /// The place of the member of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.zip.index_for_name(name)
    }

    /// The unpacked content of a member, and how many bytes its packed content takes. The content
    /// has no end that could be trusted: read it within a limit.
    ///
    /// # Errors
    /// `Damaged` when there is no such member, `Unsupported` when it is packed or encrypted in a
    /// way that is not read.
    pub fn content(&mut self, member: usize) -> Result<(impl Read, u64), Error> {
        let entry = contain(|| self.zip.by_index(member)).map_err(broken)?;
        let entry = entry.map_err(described)?;
        let packed = entry.compressed_size();
        Ok((Contained(entry), packed))
    }
}

fn broken(panicked: Panicked) -> Error {
    Error::from_cause(ErrorKind::Damaged, panicked)
}

fn described(error: ZipError) -> Error {
    let kind = match error {
        ZipError::UnsupportedArchive(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Damaged,
    };
    Error::from_cause(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflate::Budget;
    use ::zip::ZipWriter;
    use ::zip::write::SimpleFileOptions;
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

    fn archive() -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        writer.add_directory("a", options).unwrap();
        writer.start_file("a/b.txt", options).unwrap();
        writer.write_all(&[b'x'; 1000]).unwrap();
        writer.add_symlink("link", "/etc", options).unwrap();
        writer.finish().unwrap().into_inner()
    }

    /// All contents, each within 10,000 bytes.
    fn read_all(bytes: &[u8]) -> Result<Vec<(String, Kind, Vec<u8>)>, Error> {
        let mut archive = Archive::open(Cursor::new(bytes))?;
        let members = archive.members().to_vec();
        let mut all = Vec::new();
        for (i, member) in members.into_iter().enumerate() {
            let (content, _) = archive.content(i)?;
            let content = Budget::new(10_000).read(content)?;
            all.push((member.name, member.kind, content));
        }
        Ok(all)
    }

    #[test]
    fn members_are_told_apart() {
        let expected = [
            ("a/".to_owned(), Kind::Folder, vec![]),
            ("a/b.txt".to_owned(), Kind::File, vec![b'x'; 1000]),
            ("link".to_owned(), Kind::Link, b"/etc".to_vec()),
        ];
        assert_eq!(read_all(&archive()).unwrap(), expected);
        let archive = Archive::open(Cursor::new(archive())).unwrap();
        assert_eq!(archive.members()[1].size, 1000);
        assert_eq!(
            (archive.find("a/b.txt"), archive.find("b")),
            (Some(1), None)
        );
        let cut = Archive::open(Cursor::new(&b"PK\x03\x04"[..]));
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::Damaged);
    }

    /// An archive of stored files of these names, with what `torch.save` writes at the end, behind
    /// some bytes that are no part of it.
    fn with_both_end_records(prefix: &[u8], names: &[String]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options =
            SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored);
        for name in names {
            writer.start_file(name, options).unwrap();
            writer.write_all(name.as_bytes()).unwrap();
        }
        let archive = writer.finish().unwrap().into_inner();
        let (front, end) = archive.split_at(archive.len() - 22);
        let number = |range: std::ops::Range<usize>| {
            let mut wide = [0; 8];
            wide[..range.len()].copy_from_slice(&end[range]);
            wide
        };
        let [entries, size, place] = [10..12, 12..16, 16..20].map(number);
        let zip64 = [
            b"PK\x06\x06",
            &44_u64.to_le_bytes()[..],
            &[30, 3, 45, 0],
            &[0; 8],
            &entries,
            &entries,
            &size,
            &place,
        ];
        let locator = [
            b"PK\x06\x07",
            &[0; 4][..],
            &(front.len() as u64).to_le_bytes(),
            &1_u32.to_le_bytes(),
        ];
        [prefix, front, &zip64.concat(), &locator.concat(), end].concat()
    }

    /// Entries of 46 bytes and the name: one of 30 letters takes as much as both records.
    #[test]
    fn no_entry_is_lost_to_an_end_record_that_is_not_needed() {
        for prefix in [&b""[..], b"a program that unpacks itself"] {
            for length in 1..=60 {
                let names = [("a", length), ("b", 2), ("c", 30)].map(|(l, n)| l.repeat(n));
                let found = read_all(&with_both_end_records(prefix, &names)).unwrap();
                let expected: Vec<_> = names
                    .iter()
                    .map(|n| (n.clone(), Kind::File, n.clone().into_bytes()))
                    .collect();
                assert_eq!(found, expected, "{length}");
            }
        }
    }

    #[test]
    fn a_directory_that_states_too_many_entries_is_not_read() {
        let mut bytes = with_both_end_records(b"", &["a".to_owned()]);
        let record = bytes.len() - 22 - 20 - 56;
        for at in [record + 24, record + 32] {
            bytes[at..at + 8].copy_from_slice(&(MAX_MEMBERS + 1).to_le_bytes());
        }
        let error = read_all(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_all(&bytes);
            let _ = read_all(&[b"PK\x03\x04", &bytes[..]].concat());
        }

        #[test]
        fn damage_never_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        ) {
            let mut bytes = archive();
            for (place, value) in flips {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = read_all(&bytes);
        }
    }
}
