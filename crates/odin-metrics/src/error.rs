//! The error of this crate.

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// One side has no score.
    EmptyScores,
    /// A score is NaN or infinite.
    NonFiniteScore,
    /// The wanted TPR is outside `(0, 1]`.
    InvalidTpr,
    /// The wanted FPR is outside `[0, 1]`.
    InvalidFpr,
    /// No threshold keeps an in-distribution score and has so low an FPR.
    UnreachableFpr,
    /// The threshold is NaN or infinite.
    InvalidThreshold,
    /// The number of bootstrap resamples is out of range.
    InvalidResamples,
    /// Parts that are not those of a [`ReferenceScores`](crate::ReferenceScores).
    InvalidReference,
    /// The precision of a histogram sketch is out of range, or differs between two of them.
    InvalidPrecision,
    /// Bytes that are no histogram sketch.
    InvalidSketch,
    /// More scores than counts can hold exactly.
    TooManyScores,
    /// A count exceeds its total, or the total is 0 or too large.
    InvalidRate,
    /// The significance level is outside `(0, 1)`.
    InvalidLevel,
    /// The caller stopped it.
    Stopped,
}

odin_error::error_type! {
    /// An error of this crate. Its message names the side and the index of the score, or the
    /// argument, and what was expected.
    ErrorKind
}
