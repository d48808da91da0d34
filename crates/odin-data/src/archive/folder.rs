//! Folders of the file system as lists of files.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use odin_untrusted::file::open_regular;
use walkdir::WalkDir;

use super::{Entry, LeftOut, Listing, MAX_FILE, Store, check_count, check_file_size, in_order};
use crate::error::Error;
use odin_error::spell;

/// The files below a folder, through symbolic links, at any depth.
pub(crate) struct Folder {
    listing: Listing,
    /// `Entry::place` is an index into this.
    paths: Vec<PathBuf>,
}

impl Folder {
    /// A link to a folder that it lies in is not followed; other links are.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let location = root.display().to_string();
        let mut entries = Vec::new();
        let mut paths = Vec::new();
        // Links that form no loop can still multiply paths without end, so folders count too.
        for (visited, found) in WalkDir::new(root)
            .follow_links(true)
            .into_iter()
            .enumerate()
        {
            check_count(visited, &location)?;
            let found = match found {
                Ok(found) => found,
                Err(e) if e.loop_ancestor().is_some() => continue,
                Err(e) => return Err(walk_error(e, root)),
            };
            // Others than files, such as FIFOs, are errors when they are read.
            if found.file_type().is_dir() {
                continue;
            }
            let relative = found.path().strip_prefix(root).unwrap_or(found.path());
            entries.push(Entry {
                name: slashed(relative),
                place: paths.len() as u64,
                size: 0,
            });
            paths.push(found.into_path());
        }
        Ok(Self {
            listing: Listing {
                location,
                is_archive: false,
                entries: in_order(entries),
                left_out: LeftOut::default(),
            },
            paths,
        })
    }
}

fn walk_error(error: walkdir::Error, root: &Path) -> Error {
    let path = error.path().unwrap_or(root).to_path_buf();
    // A loop, the one error without a cause, does not come here.
    let cause = error.into_io_error();
    Error::io(
        "read",
        &path,
        cause.unwrap_or_else(|| io::ErrorKind::Other.into()),
    )
}

fn slashed(path: &Path) -> String {
    path.iter()
        .map(|part| spell(part.as_encoded_bytes()))
        .collect::<Vec<_>>()
        .join("/")
}

impl Store for Folder {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn read(&self, index: usize) -> Result<Vec<u8>, Error> {
        read_file(&self.paths[self.entries()[index].place as usize])
    }
}

/// The content of a file of at most [`MAX_FILE`] bytes.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open_regular(path).map_err(Error::unreadable_file)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    check_file_size(bytes.len() as u64, &path.display().to_string())?;
    Ok(bytes)
}
