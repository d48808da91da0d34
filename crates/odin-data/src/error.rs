use std::fmt;
use std::path::Path;

use crate::visible::{visible, visible_lines};

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file, folder or registry name is not where it was looked for.
    NotFound,
    /// The operating system refused a read or a write.
    Io,
    /// The bytes are not what their format prescribes.
    Malformed,
    /// The format is known, this variant of it is not supported.
    Unsupported,
    /// The content does not match its checksum.
    Checksum,
    /// A download did not succeed.
    Network,
    /// An argument is out of its range.
    Invalid,
    /// A set holds no image.
    Empty,
}

/// An error of this crate. Its message names the file or option, what was expected, and what
/// to do; it ends in the cause where another library gave one, so there is no further `source`.
/// Control characters in it, as hostile file names have them, are escaped.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: visible_lines(&message.into()),
        }
    }

    /// The same error, its message followed by the cause.
    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.message += ": ";
        self.message += &visible_lines(&cause.to_string());
        self
    }

    /// An I/O failure while doing `action` ("read", "create") to `path`.
    pub(crate) fn io(action: &str, path: &Path, cause: std::io::Error) -> Self {
        let kind = match cause.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        let path = path.display().to_string();
        Self::new(kind, format!("cannot {action} {}", visible(&path))).because(cause)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
