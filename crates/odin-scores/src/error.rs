use std::fmt;

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No score has this name.
    UnknownMethod,
    /// A score needs training images, their labels, features or the network's last layer, and
    /// they are not there.
    Missing,
    /// Lengths or shapes do not fit each other.
    Shape,
    /// A value is NaN, infinite or out of its range.
    Invalid,
    /// The training images do not determine what is to be fitted.
    Degenerate,
    /// Saved tensors are not what a fitted score wrote.
    Restore,
}

/// An error of this crate. Its message names the score or the argument, what was expected, and
/// what to do.
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
