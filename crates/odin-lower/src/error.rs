//! The error of the crate.

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No engine that computes image by image can run the graph.
    UnsupportedGraph,
    /// The inputs of a run do not fit the graph's.
    InvalidInput,
}

odin_error::error_type! {
    /// An error of lowering or of a run. Its message names the node or input.
    ErrorKind
}
