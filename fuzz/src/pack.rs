//! Archives made of the fuzzer's bytes.
//!
//! Tar headers and zip and gzip members carry checksums, at which damaged bytes would end. So
//! the fuzzer writes the members, and the archive around them is made here.
//!
//! The input is one byte that chooses a [`Container`], then members, separated by [`SEPARATOR`]:
//! the name up to a line feed, and the content.

use std::io::{Cursor, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Stands between the members. The dictionaries have it.
pub const SEPARATOR: &[u8] = b"\n====\n";

/// More members than this are not put into an archive.
const MAX_MEMBERS: usize = 64;

/// What the members are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A tar archive: `t`.
    Tar,
    /// A gzipped tar archive: `g`.
    TarGz,
    /// A zip archive of stored members: `z`.
    Zip,
    /// A zip archive of deflated members: `d`.
    Deflated,
    /// The first member gzipped, its name left out: `1`.
    Gz,
    /// The contents in a row, without names: `c`.
    Concatenated,
    /// A folder: `f`. The caller writes it with [`Packed::write_to`].
    Folder,
}

impl Container {
    /// All of them with their bytes.
    pub const ALL: [(u8, Self); 7] = [
        (b't', Self::Tar),
        (b'g', Self::TarGz),
        (b'z', Self::Zip),
        (b'd', Self::Deflated),
        (b'1', Self::Gz),
        (b'c', Self::Concatenated),
        (b'f', Self::Folder),
    ];
}

/// A container and what goes into it: names and contents.
pub struct Packed<'a> {
    /// What the members go into.
    pub container: Container,
    /// Names and contents.
    pub members: Vec<(String, &'a [u8])>,
}

impl<'a> Packed<'a> {
    /// Takes the fuzzer's input apart; `None` if it does not begin with a container's byte.
    pub fn of(input: &'a [u8]) -> Option<Self> {
        let (byte, rest) = input.split_first()?;
        let (_, container) = Container::ALL.iter().find(|(b, _)| b == byte)?;
        let members = split(rest).take(MAX_MEMBERS).map(|member| {
            let end = member.iter().position(|&b| b == b'\n');
            let (name, content) = member.split_at(end.unwrap_or(member.len()));
            let name = String::from_utf8_lossy(name).into_owned();
            (name, content.get(1..).unwrap_or_default())
        });
        Some(Self {
            container: *container,
            members: members.collect(),
        })
    }

    /// The archive; `None` for a folder, and for members that the writers do not take.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self.container {
            Container::Tar => self.tar(),
            Container::TarGz => gzip(&self.tar()?),
            Container::Zip => self.zip(CompressionMethod::Stored),
            Container::Deflated => self.zip(CompressionMethod::Deflated),
            Container::Gz => gzip(self.members.first()?.1),
            Container::Concatenated => {
                Some(self.members.iter().flat_map(|m| m.1).copied().collect())
            }
            Container::Folder => None,
        }
    }

    /// Writes the members as files below `folder`; those with names that lead elsewhere are left
    /// out.
    pub fn write_to(&self, folder: &Path) -> Option<()> {
        for (name, content) in &self.members {
            let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
            if name.split('/').all(plain) {
                let path = folder.join(name);
                std::fs::create_dir_all(path.parent()?).ok()?;
                std::fs::write(path, content).ok()?;
            }
        }
        Some(())
    }

    /// Names are written as they are: the setters of the tar crate refuse hostile ones. A name
    /// that ends in `@` and a type byte makes a member of that type.
    fn tar(&self) -> Option<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in &self.members {
            let (name, kind) = match name.as_bytes() {
                [name @ .., b'@', kind] => (name, *kind),
                name => (name, b'0'),
            };
            let mut header = tar::Header::new_gnu();
            let field = &mut header.as_old_mut().name;
            let length = name.len().min(field.len());
            field[..length].copy_from_slice(&name[..length]);
            header.set_entry_type(tar::EntryType::new(kind));
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, *content).ok()?;
        }
        builder.into_inner().ok()
    }

    fn zip(&self, method: CompressionMethod) -> Option<Vec<u8>> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, content) in &self.members {
            writer.start_file(name.as_str(), options).ok()?;
            writer.write_all(content).ok()?;
        }
        Some(writer.finish().ok()?.into_inner())
    }
}

fn split(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let at = rest.windows(SEPARATOR.len()).position(|w| w == SEPARATOR);
        let Some(at) = at else {
            done = true;
            return Some(rest);
        };
        let (member, tail) = rest.split_at(at);
        rest = &tail[SEPARATOR.len()..];
        Some(member)
    })
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}
