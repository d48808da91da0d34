//! The error of the crate.

/// The kind of an error.
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
    /// More memory would be needed than the graph's budget allows.
    TooLarge,
}

odin_error::error_type! {
    /// An error of this crate. Its message names the node, its operator and the shapes involved.
    ErrorKind
}
