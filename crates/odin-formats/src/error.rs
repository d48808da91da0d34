//! The error of this crate.

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
    /// An ONNX file leaves open which images its input takes.
    OpenShape,
    /// An ONNX file has several outputs, and nothing tells which of them holds the logits.
    SeveralOutputs,
}

odin_error::error_type! {
    /// An error of this crate. Its message names the file or the tensor, what was found, and what
    /// was expected. Control characters in it, as hostile files have them in names, are escaped.
    ErrorKind
}

impl Error {
    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }
}

impl From<odin_untrusted::Error> for Error {
    fn from(error: odin_untrusted::Error) -> Self {
        let kind = match error.kind() {
            odin_untrusted::ErrorKind::Damaged => ErrorKind::Corrupt,
            odin_untrusted::ErrorKind::Io | odin_untrusted::ErrorKind::NotRegular => ErrorKind::Io,
            _ => ErrorKind::Unsupported,
        };
        Self::from_cause(kind, error)
    }
}
