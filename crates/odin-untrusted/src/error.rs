//! The error of this crate.

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes contradict their own format: truncated, damaged or hostile.
    Damaged,
    /// The bytes are valid, and use a part of the format that is not read.
    Unsupported,
    /// The content exceeds a limit.
    TooLarge,
    /// The path leads to no regular file but to a directory, FIFO, socket or device.
    NotRegular,
    /// The file cannot be opened or read.
    Io,
}

odin_error::error_type! {
    /// An error of this crate. Its message says what is wrong with the bytes, not whose they are:
    /// the caller knows the file. Only errors of [`file`](crate::file), which gets a path, name it.
    ErrorKind
}

impl Error {
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn not_regular(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotRegular, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }
}
