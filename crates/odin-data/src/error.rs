//! The error of this crate.

use odin_error::escape;
use std::path::Path;

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

odin_error::error_type! {
    /// An error of this crate. Its message names the file or option, what was expected, and what
    /// to do.
    /// Control characters in it, as hostile file names have them, are escaped.
    ErrorKind
}

/// What a [`DataSet`](crate::DataSet) of one's own says of an image that it cannot give.
impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        Self::from_cause(ErrorKind::Io, cause)
    }
}

impl Error {
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A file that is not there, has no end, is too large or cannot be read; the cause names it.
    pub(crate) fn unreadable_file(cause: odin_untrusted::Error) -> Self {
        use odin_untrusted::ErrorKind as Cause;
        let io: Option<&std::io::Error> =
            std::error::Error::source(&cause).and_then(|source| source.downcast_ref());
        let kind = match (cause.kind(), io.map(std::io::Error::kind)) {
            (_, Some(std::io::ErrorKind::NotFound)) => ErrorKind::NotFound,
            (Cause::Io | Cause::NotRegular, _) => ErrorKind::Io,
            _ => ErrorKind::Malformed,
        };
        Self::from_cause(kind, cause)
    }

    /// An I/O failure while doing `action` ("read", "create") to `path`.
    pub(crate) fn io(action: &str, path: &Path, cause: std::io::Error) -> Self {
        let kind = match cause.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        let path = escape(&path.display().to_string());
        Self::new(kind, format!("cannot {action} {path}")).because(cause)
    }
}
