//! The error of the crate.

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The engine does not support the graph.
    UnsupportedGraph,
    /// The inputs of a run do not fit the graph's.
    InvalidInput,
    /// Memory could not be allocated.
    OutOfMemory,
    /// The thread pool could not be started.
    Threads,
}

odin_error::error_type! {
    /// An error of the engine. Its message names the input or node, and what was expected.
    ErrorKind
}
