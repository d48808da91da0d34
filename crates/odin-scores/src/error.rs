//! The error of this crate.

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
    /// Bytes are no summary of training images, or summaries do not belong together.
    Summary,
}

odin_error::error_type! {
    /// An error of this crate. Its message names the score or the argument, what was expected, and
    /// what to do.
    ErrorKind
}
