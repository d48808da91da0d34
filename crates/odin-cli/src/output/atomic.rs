//! Files that options name: fit to be written before any work begins, none that the command reads,
//! whole or not there.

use anyhow::{Result, anyhow, bail};
use odin::{AtomicFile, Destination};
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a command reads: the words for it, and where it lies.
pub(crate) type SourceFile = (&'static str, PathBuf);

/// A file that an option names.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    option: &'static str,
    destination: Destination,
    /// The file that is there.
    replaced: Option<Identity>,
    /// Whether that may be an image or another part of a data set.
    may_be_data: bool,
}

impl Output {
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn new(path: &Path, option: &'static str) -> Result<Self> {
        let named = |error| of_option(option, error);
        let destination = Destination::of(path).map_err(named)?;
        destination.check().map_err(named)?;
        let file = Some(destination.path()).filter(|path| path.is_file());
        Ok(Self {
            path: path.to_path_buf(),
            option,
            replaced: file.and_then(identity),
            may_be_data: file.is_some_and(may_be_data),
            destination,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the path leads to.
    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Refuses to write over what the command reads.
    ///
    /// # Errors
    /// When the output is this file, under whatever name, or lies in this folder of images.
    pub(crate) fn is_not(&self, what: &str, source: &Path) -> Result<()> {
        let Some(replaced) = &self.replaced else {
            return Ok(());
        };
        let (option, path) = (self.option, self.path.display());
        let refused = match source.is_dir() {
            true if !self.may_be_data => None,
            true => file_below(source, replaced),
            false => (identity(source).as_ref() == Some(replaced)).then(|| source.to_path_buf()),
        };
        match refused {
            None => Ok(()),
            Some(file) if file == self.path => {
                bail!("{option}: {path} is {what} itself; name another file")
            }
            Some(file) => bail!(
                "{option}: {path} is {what} itself, {}, under another name; name another file",
                file.display()
            ),
        }
    }

    /// The same for many files that are images, which are only looked at where the output can be
    /// one.
    ///
    /// # Errors
    /// As [`Output::is_not`].
    pub(crate) fn is_no_image_of(&self, images: &[PathBuf]) -> Result<()> {
        match self.may_be_data {
            true => images
                .iter()
                .try_for_each(|path| self.is_not("an image", path)),
            false => Ok(()),
        }
    }

    /// # Errors
    /// As [`Output::is_not`].
    pub(crate) fn is_none_of(&self, sources: &[SourceFile]) -> Result<()> {
        let mut sources = sources.iter();
        sources.try_for_each(|(what, source)| self.is_not(what, source))
    }

    /// Begins to write.
    pub(crate) fn create(&self) -> Result<AtomicFile> {
        let created = self.destination.create();
        created.map_err(|error| of_option(self.option, error))
    }

    /// Writes all of it.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        let written = self.destination.write(bytes);
        written.map_err(|error| of_option(self.option, error))
    }
}

/// The message of an error holds its cause.
fn of_option(option: &str, error: odin::Error) -> anyhow::Error {
    anyhow!("{option}: {error}")
}

/// What two names of one file have in common.
#[cfg(unix)]
pub(crate) type Identity = (u64, u64);
#[cfg(not(unix))]
pub(crate) type Identity = PathBuf;

/// Device and number of the file that a path leads to.
#[cfg(unix)]
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    path.canonicalize().ok()
}

/// The name under which a file lies in a folder or below.
fn file_below(folder: &Path, file: &Identity) -> Option<PathBuf> {
    let mut seen = HashSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // Links may lead in circles.
        if !identity(&folder).is_some_and(|folder| seen.insert(folder)) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).ok()?.flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false if identity(&path).as_ref() == Some(file) => return Some(path),
                false => {}
            }
        }
    }
    None
}

/// Whether a file can be an image, or data of a set: it is no text, as a score file or a setting
/// is, and no Parquet. Folders of a million images are not searched for every file of scores that
/// is written anew.
fn may_be_data(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    let text = match std::str::from_utf8(&head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(e) if e.error_len().is_none() => {
            std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return !head.starts_with(b"PAR1"),
    };
    let is_text = !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    read.is_err() || !(is_text || head.starts_with(b"PAR1"))
}
