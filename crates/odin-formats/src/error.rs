use std::fmt;

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file could not be opened or read.
    Io,
    /// The content is none of the containers that this crate reads.
    UnknownContainer,
    /// The content contradicts its own format: truncated, damaged or hostile.
    Corrupt,
    /// The content is valid and of a kind that this crate does not read.
    Unsupported,
    /// The file holds no weights, or several candidates for them.
    NoWeights,
    /// A weight is NaN or infinite.
    NotFinite,
    /// The names of the tensors are those of no architecture in the zoo.
    UnknownArchitecture,
    /// A tensor of the architecture is missing, left over, or of the wrong shape.
    Mismatch,
}

/// An error of this crate. Its message names the file or the tensor, what was found, and what
/// was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The same error, its message led by the file or tensor that it is about.
    pub(crate) fn about(mut self, subject: impl fmt::Display) -> Self {
        self.message = format!("{subject}: {}", self.message);
        self
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
