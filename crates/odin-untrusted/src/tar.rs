//! Tar archives: their members in order, with long names of the GNU and PAX formats.

use std::io::{self, Read, Seek};

use ::tar::{EntryType, PaxExtensions};

use crate::error::{Error, ErrorKind};
use crate::guard::{Contained, contain};
use odin_error::shown;

/// The length of a header, and what contents are filled up to.
pub const BLOCK: u64 = 512;

/// The longest content of an extension header, which holds a member's name.
const MAX_EXTENSION: u64 = 1 << 16;

/// Whether bytes begin with the header of a member, by the sum of its bytes that it carries.
pub fn is_header(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..BLOCK as usize) else {
        return false;
    };
    let sum = header
        .iter()
        .enumerate()
        .map(|(i, &byte)| u32::from(if (148..156).contains(&i) { b' ' } else { byte }))
        .sum::<u32>();
    header[0] != 0
        && std::str::from_utf8(&header[148..156])
            .ok()
            .map(|digits| digits.trim_matches(['\0', ' ']))
            .and_then(|digits| u32::from_str_radix(digits, 8).ok())
            == Some(sum)
}

/// An uncompressed tar archive.
pub struct Archive<R: Read>(::tar::Archive<R>);

impl<R: Read> Archive<R> {
    /// The archive that `source` is.
    pub fn new(source: R) -> Self {
        Self(::tar::Archive::new(source))
    }

    /// The members in their order, at most `max_headers` of them, extension headers included.
    ///
    /// # Errors
    /// When the archive has been read from.
    pub fn members(&mut self, max_headers: u64) -> Result<Members<'_, R>, Error> {
        Members::of(self.0.entries(), max_headers)
    }

    /// The same, with contents that are not read passed over without reading them.
    ///
    /// # Errors
    /// As [`Archive::members`].
    pub fn members_with_seek(&mut self, max_headers: u64) -> Result<Members<'_, R>, Error>
    where
        R: Seek,
    {
        Members::of(self.0.entries_with_seek(), max_headers)
    }
}

/// What a [`Member`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link or a device.
    Other,
}

/// A member, whose content it gives as a reader.
pub struct Member<'a, R: Read> {
    /// The name, of the archive's choice.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// How many bytes the content has, as the header says it.
    pub size: u64,
    /// Where in the archive the content begins.
    pub start: u64,
    /// Of a hard link, the name of the member whose content it shares.
    pub hard_link: Option<Vec<u8>>,
    content: ::tar::Entry<'a, R>,
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Contained(&mut self.content).read(buffer)
    }
}

/// See [`Archive::members`].
pub struct Members<'a, R: Read> {
    entries: ::tar::Entries<'a, R>,
    headers_left: u64,
    max_headers: u64,
    end: u64,
}

impl<'a, R: Read> Members<'a, R> {
    fn of(entries: io::Result<::tar::Entries<'a, R>>, max_headers: u64) -> Result<Self, Error> {
        Ok(Self {
            // Extension headers are read here: the tar crate would load names of any length.
            entries: entries.map_err(damaged)?.raw(true),
            headers_left: max_headers,
            max_headers,
            end: 0,
        })
    }

    /// Where the last member that has been given ends. A block of zeros follows the last of all;
    /// without it, members may be missing.
    pub fn end(&self) -> u64 {
        self.end
    }

    fn member(&mut self) -> Result<Option<Member<'a, R>>, Error> {
        let mut said = Extensions::default();
        while let Some(entry) = contain(|| self.entries.next()).map_err(broken)? {
            let mut content = entry.map_err(damaged)?;
            self.headers_left = self.headers_left.checked_sub(1).ok_or_else(|| {
                Error::too_large(format!("it holds more than {} files", self.max_headers))
            })?;
            let (start, size) = (content.raw_file_position(), content.size());
            self.end = start.saturating_add(size.saturating_add(BLOCK - 1) / BLOCK * BLOCK);
            let entry_type = content.header().entry_type();
            let kind = match entry_type {
                EntryType::GNULongName => {
                    said.name = Some(until_zero(&extension(&mut content)?));
                    continue;
                }
                EntryType::GNULongLink => {
                    said.link = Some(until_zero(&extension(&mut content)?));
                    continue;
                }
                EntryType::XHeader => {
                    said.read_pax(&extension(&mut content)?)?;
                    continue;
                }
                EntryType::XGlobalHeader => continue,
                EntryType::Directory => Kind::Folder,
                EntryType::Regular | EntryType::Continuous => Kind::File,
                _ => Kind::Other,
            };
            let name = said.name.take();
            let name = name.unwrap_or_else(|| content.path_bytes().into_owned());
            if entry_type == EntryType::GNUSparse || said.sparse {
                return Err(Error::unsupported(format!(
                    "`{}` is stored as a sparse file, which is not read; pack the archive again \
                     without tar's option --sparse (-S)",
                    shown(&String::from_utf8_lossy(&name))
                )));
            }
            let link = || content.link_name_bytes().map(|name| name.into_owned());
            let hard_link = match entry_type {
                EntryType::Link => said.link.take().or_else(link),
                _ => None,
            };
            return Ok(Some(Member {
                // Before POSIX a folder was a regular file whose name ends in a slash.
                kind: match kind {
                    Kind::File if name.ends_with(b"/") => Kind::Folder,
                    kind => kind,
                },
                name,
                size,
                start,
                hard_link,
                content,
            }));
        }
        Ok(None)
    }
}

impl<'a, R: Read> Iterator for Members<'a, R> {
    type Item = Result<Member<'a, R>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.member().transpose()
    }
}

fn extension(content: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut content = content.take(MAX_EXTENSION + 1);
    content.read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 > MAX_EXTENSION {
        return Err(Error::damaged(format!(
            "an extension header of more than {MAX_EXTENSION} bytes"
        )));
    }
    Ok(bytes)
}

fn until_zero(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|&b| b == 0).next().unwrap_or(&[]).to_vec()
}

/// What extension headers say of the member behind them.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// Whether the content leaves out runs of zeros, in one of the ways that PAX headers tell.
    sparse: bool,
}

impl Extensions {
    fn read_pax(&mut self, records: &[u8]) -> Result<(), Error> {
        for record in PaxExtensions::new(records) {
            let record = record.map_err(damaged)?;
            let value = || Some(record.value_bytes().to_vec());
            match record.key_bytes() {
                // The own name of a sparse file is one that tells its unpacker nothing.
                b"path" if !self.sparse => self.name = value(),
                b"linkpath" => self.link = value(),
                b"size" => {
                    let message = "a member of 8 GiB or more, or with its size in a PAX header";
                    return Err(Error::damaged(message));
                }
                b"GNU.sparse.name" => (self.sparse, self.name) = (true, value()),
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }
}

fn broken(panicked: crate::guard::Panicked) -> Error {
    Error::from_cause(ErrorKind::Damaged, panicked)
}

fn damaged(error: io::Error) -> Error {
    Error::from_cause(ErrorKind::Damaged, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tar::{Builder, Header};
    use proptest::prelude::*;
    use std::io::Cursor;

    fn archive() -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let mut add = |name: &str, kind, content: &str| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, name, content.as_bytes())
                .unwrap();
        };
        add("a", EntryType::Directory, "");
        add("a/b", EntryType::Regular, "content");
        add(&"long/".repeat(50), EntryType::Regular, "");
        add(&"n".repeat(300), EntryType::Regular, "named");
        add("pipe", EntryType::Fifo, "");
        for target in ["a/b", &"n".repeat(300)] {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            builder.append_link(&mut header, "link", target).unwrap();
        }
        builder.into_inner().unwrap()
    }

    type Found = Vec<(Vec<u8>, Kind, Vec<u8>)>;

    /// All members, their contents within 10,000 bytes, and where the last one ends.
    fn read_all(bytes: &[u8], max_headers: u64) -> Result<(Found, u64), Error> {
        let mut archive = Archive::new(bytes);
        let mut members = archive.members(max_headers)?;
        let mut all = Vec::new();
        while let Some(member) = members.next().transpose()? {
            let (name, kind) = (member.name.clone(), member.kind);
            let mut content = Vec::new();
            member
                .take(10_000)
                .read_to_end(&mut content)
                .map_err(damaged)?;
            all.push((name, kind, content));
        }
        Ok((all, members.end()))
    }

    #[test]
    fn members_are_told_apart() {
        let bytes = archive();
        assert!(is_header(&bytes) && !is_header(&bytes[1..]) && !is_header(&[0; 512]));
        let (found, end) = read_all(&bytes, 100).unwrap();
        let expected = [
            (b"a".to_vec(), Kind::Folder, vec![]),
            (b"a/b".to_vec(), Kind::File, b"content".to_vec()),
            (b"long/".repeat(50), Kind::Folder, vec![]),
            (vec![b'n'; 300], Kind::File, b"named".to_vec()),
            (b"pipe".to_vec(), Kind::Other, vec![]),
            (b"link".to_vec(), Kind::Other, vec![]),
            (b"link".to_vec(), Kind::Other, vec![]),
        ];
        assert_eq!(found, expected);
        assert_eq!(end + 2 * BLOCK, bytes.len() as u64);
        assert_eq!(read_all(&bytes, 3).unwrap_err().kind(), ErrorKind::TooLarge);

        let mut seekable = Archive::new(Cursor::new(&bytes));
        let members = seekable.members_with_seek(100).unwrap();
        let places: Vec<_> = members
            .map(|member| member.map(|m| (m.name, m.start, m.size)).unwrap())
            .collect();
        for ((name, start, size), (expected, _, content)) in places.iter().zip(&expected) {
            assert_eq!(name, expected);
            let range = *start as usize..(start + size) as usize;
            assert_eq!(&bytes[range], content);
        }

        let mut archive = Archive::new(&bytes[..]);
        let links = archive.members(100).unwrap();
        let links: Vec<_> = links.filter_map(|m| m.unwrap().hard_link).collect();
        assert_eq!(links, [b"a/b".to_vec(), vec![b'n'; 300]]);
    }

    /// A sparse file in one of the ways that GNU tar writes it (`--sparse-version`), between others.
    fn sparse(records: &[(&str, &[u8])], kind: EntryType) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(0);
        let mut plain = header.clone();
        builder.append_data(&mut plain, "before", &b""[..]).unwrap();
        if !records.is_empty() {
            let records = records.iter().copied();
            builder.append_pax_extensions(records).unwrap();
        }
        header.set_entry_type(kind);
        builder
            .append_data(&mut header, "a/holes", &b""[..])
            .unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn sparse_files_are_refused_by_name() {
        let (regular, v1) = (EntryType::Regular, ("GNU.sparse.major", &b"1"[..]));
        for (bytes, name) in [
            (sparse(&[], EntryType::GNUSparse), "`a/holes`"),
            (sparse(&[("GNU.sparse.size", b"7")], regular), "`a/holes`"),
            (
                sparse(&[v1, ("GNU.sparse.name", b"b/real")], regular),
                "`b/real`",
            ),
            (
                sparse(
                    &[("GNU.sparse.name", b"b/real"), ("path", b"GNUSparse.0")],
                    regular,
                ),
                "`b/real`",
            ),
        ] {
            let error = read_all(&bytes, 100).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn extension_headers_are_bounded() {
        let mut builder = Builder::new(Vec::new());
        let name = "n".repeat(1 << 17);
        let mut header = Header::new_gnu();
        header.set_size(0);
        builder.append_data(&mut header, name, &b""[..]).unwrap();
        let error = read_all(&builder.into_inner().unwrap(), 100).unwrap_err();
        assert!(error.to_string().contains("65536"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            is_header(&bytes);
            let _ = read_all(&bytes, 100);
        }

        #[test]
        fn damage_never_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
            sealed in any::<bool>(),
        ) {
            let mut bytes = archive();
            for (place, value) in flips {
                let place = place.index(bytes.len());
                bytes[place] = value;
                if sealed {
                    // A right sum, so that the damage is looked at.
                    let start = place / 512 * 512;
                    if let Some(block) = bytes[start..].first_chunk_mut::<512>() {
                        block[148..156].fill(b' ');
                        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
                        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                    }
                }
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = read_all(&bytes, 100);
        }
    }
}
