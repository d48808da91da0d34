//! Zip archives: stored and deflated members.

use std::io::{Read, Seek};
use std::sync::Arc;

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use crate::error::{Error, ErrorKind};

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
    /// `Damaged` when it is none, `Unsupported` when it uses what is not read.
    pub fn open(source: R) -> Result<Self, Error> {
        let zip = ZipArchive::new(source).map_err(described)?;
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
        let entry = self.zip.by_index(member).map_err(described)?;
        let packed = entry.compressed_size();
        Ok((entry, packed))
    }
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
