//! Folders and archives behind one interface: a list of named files that are read on demand.

mod blob;
mod folder;
mod tar;
mod zip;

use std::path::Path;

pub use blob::SharedBytes;
pub(crate) use blob::{Blob, BlobReader, Unpack};
pub(crate) use folder::{Folder, read_file};
pub(crate) use tar::Tar;
pub(crate) use zip::Zip;

use crate::error::Error;
use odin_error::{escape, spell};

/// The largest file that is read whole: 512 MiB.
pub(crate) const MAX_FILE: u64 = 1 << 29;

/// The most files that one folder or archive may hold.
const MAX_ENTRIES: usize = 10_000_000;

/// A file in a [`Store`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative to the store's root, parts separated by '/', spelled so that no two files have one
    /// name ([`spell`]).
    pub(crate) name: String,
    /// What the store needs to find the file again.
    place: u64,
    size: u64,
}

/// What a [`Store`] holds.
pub(crate) struct Listing {
    /// Where the store lies, for messages.
    location: String,
    /// Whether the entries lie below a folder that the archive itself brings.
    is_archive: bool,
    entries: Vec<Entry>,
    /// Links and devices of an archive, which are no entries.
    left_out: LeftOut,
}

/// How many members are no entries, and what one of them is called.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) count: usize,
    pub(crate) example: String,
}

impl LeftOut {
    fn add(&mut self, name: String) {
        if self.count == 0 {
            self.example = name;
        }
        self.count += 1;
    }
}

impl Listing {
    fn of_archive(location: &str, entries: Vec<Entry>, left_out: LeftOut) -> Self {
        Self {
            location: location.to_owned(),
            is_archive: true,
            entries: in_order(entries),
            left_out,
        }
    }
}

/// A folder or an archive.
pub(crate) trait Store: Send + Sync {
    fn listing(&self) -> &Listing;

    /// Sorted by name (bytewise, which for UTF-8 is by code point), each name once.
    fn entries(&self) -> &[Entry] {
        &self.listing().entries
    }

    /// Whether its entries lie below a folder that the archive itself brings.
    fn is_archive(&self) -> bool {
        self.listing().is_archive
    }

    /// What is in the archive and is no entry.
    fn left_out(&self) -> &LeftOut {
        &self.listing().left_out
    }

    /// The whole content of `self.entries()[index]`, at most [`MAX_FILE`] bytes.
    fn read(&self, index: usize) -> Result<Vec<u8>, Error>;

    /// The name of an entry in messages.
    fn title(&self, index: usize) -> String {
        let name = self.entries().get(index).map_or("", |e| &e.name);
        escape(&match self.is_archive() {
            true => format!("{name} in {}", self.listing().location),
            false => Path::new(&self.listing().location)
                .join(name)
                .display()
                .to_string(),
        })
    }

    /// The entry of that name.
    fn find(&self, name: &str) -> Option<usize> {
        self.entries()
            .binary_search_by(|e| e.name.as_str().cmp(name))
            .ok()
    }
}

/// Sorts, and of several files of one name keeps the last, as unpacking would.
fn in_order(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.reverse();
    entries.dedup_by(|later, earlier| later.name == earlier.name);
    entries.reverse();
    entries
}

/// The name of an archive member without empty and "." parts. It is only ever shown and
/// compared, so ".." is left alone.
fn clean_name(raw: &[u8]) -> String {
    joined(&spell(raw))
}

/// The same of a zip archive, which some programs for Windows write with backslashes, against the
/// format's rule.
fn clean_zip_name(raw: &[u8]) -> String {
    let separator = |&byte: &u8| if byte == b'\\' { b'/' } else { byte };
    joined(&spell(&raw.iter().map(separator).collect::<Vec<u8>>()))
}

fn joined(name: &str) -> String {
    name.split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect::<Vec<_>>()
        .join("/")
}

fn check_count(count: usize, location: &str) -> Result<(), Error> {
    match count {
        0..=MAX_ENTRIES => Ok(()),
        _ => Err(Error::unsupported(format!(
            "{location} holds more than {MAX_ENTRIES} files; split it"
        ))),
    }
}

fn check_file_size(size: u64, title: &str) -> Result<(), Error> {
    match size {
        0..=MAX_FILE => Ok(()),
        _ => Err(Error::unsupported(format!(
            "{title} is larger than {MAX_FILE} bytes, the limit for one image or batch"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, place: u64) -> Entry {
        Entry {
            name: name.into(),
            place,
            size: 0,
        }
    }

    #[test]
    fn the_last_of_equal_names_stays() {
        let entries = vec![
            entry("b", 0),
            entry("a/x", 1),
            entry("b", 2),
            entry("a-/x", 3),
        ];
        let expected = vec![entry("a-/x", 3), entry("a/x", 1), entry("b", 2)];
        assert_eq!(in_order(entries), expected);
    }

    #[test]
    fn names_are_cleaned() {
        for (raw, clean) in [
            ("./Imagenet//test/0.png", "Imagenet/test/0.png"),
            ("/etc/passwd", "etc/passwd"),
            ("../../x", "../../x"),
            ("dir/", "dir"),
            ("a\t.png", "a\\u{9}.png"),
        ] {
            assert_eq!(clean_name(raw.as_bytes()), clean);
            assert_eq!(clean_zip_name(raw.as_bytes()), clean);
        }
        assert_eq!(clean_name(b"./\xff.png"), "\\xff.png");
        let windows = br"set\cat\.\1.png";
        assert_eq!(clean_zip_name(windows), "set/cat/1.png");
        assert_eq!(clean_name(windows), r"set\\cat\\.\\1.png");
    }
}
