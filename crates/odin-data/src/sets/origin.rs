//! The origin of a set's bytes: what messages call it, the set's name, files beside it, given
//! labels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::{OpenOptions, Split};
use crate::archive::{Blob, Unpack};
use crate::error::{Error, ErrorKind};

/// Where a file came from and what it is to become.
pub(super) struct Origin<'a> {
    /// For messages: the path, or the name of bytes in memory.
    pub(super) title: String,
    /// The set's name.
    pub(super) name: String,
    /// Where files beside it may lie.
    pub(super) path: Option<&'a Path>,
    /// Labels that the caller gave.
    pub(super) labels: Option<Arc<Blob>>,
    pub(super) options: &'a OpenOptions,
}

impl Origin<'_> {
    pub(super) fn unpack(&self) -> Unpack {
        Unpack {
            limit: self.options.max_unpacked,
            scratch: self.options.scratch.clone(),
        }
    }

    pub(super) fn split(&self) -> Split {
        self.options.split.unwrap_or(Split::Test)
    }

    /// For sources that have no splits.
    pub(super) fn refuse_splits(&self) -> Result<(), Error> {
        match self.split() {
            Split::Test => Ok(()),
            split => Err(self.no_split(split)),
        }
    }

    /// For sources that have a test and a training split.
    pub(super) fn refuse_validation_split(&self) -> Result<(), Error> {
        match self.split() {
            Split::Test | Split::Train => Ok(()),
            split => Err(self.no_split(split)),
        }
    }

    fn no_split(&self, split: Split) -> Error {
        let name = match split {
            Split::Test => "test",
            Split::Train => "training",
            Split::Validation => "validation",
        };
        let problem = format!("it has no {name} split; leave the split away");
        self.error(ErrorKind::Invalid, problem)
    }

    pub(super) fn error(&self, kind: ErrorKind, problem: impl AsRef<str>) -> Error {
        Error::new(kind, format!("{}: {}", self.title, problem.as_ref()))
    }

    pub(super) fn io_error(&self, error: std::io::Error) -> Error {
        self.error(ErrorKind::Io, "cannot be read").because(error)
    }
}

/// A file beside `path`, if it is there.
pub(super) fn sibling(path: &Path, name: &str) -> Option<PathBuf> {
    let sibling = path.with_file_name(name);
    sibling.is_file().then_some(sibling)
}
