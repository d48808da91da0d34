//! The error of the crate.

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such device, or its driver refuses to open it.
    Device,
    /// The device was lost while it computed, or its driver reported an error.
    Run,
    /// The engine does not support the graph.
    UnsupportedGraph,
    /// The inputs of a run do not fit the graph's.
    InvalidInput,
    /// The device has too little memory.
    OutOfMemory,
}

odin_error::error_type! {
    /// An error of the engine. Its message names the device, input or node, what was expected, and
    /// what to do.
    ErrorKind
}
