//! The error of the crate.

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No engine that computes image by image can run the graph.
    UnsupportedGraph,
}

odin_error::error_type! {
    /// An error of lowering. Its message names the node.
    ErrorKind
}
