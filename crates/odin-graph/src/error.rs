use std::fmt;

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A node's operands do not fit its operator.
    InvalidNode,
    /// The graph as a whole is not well formed.
    InvalidGraph,
    /// The data given to a run does not fit the graph's inputs.
    InvalidInput,
    /// There is no gradient rule for this use of an operator.
    NoGradient,
    /// A tensor's shape and data do not agree.
    InvalidTensor,
}

/// An error of this crate. Its message names the node, its operator and the shapes involved.
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
