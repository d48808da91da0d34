/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The graph asks for something that the engine does not do.
    UnsupportedGraph,
    /// The data given to a run does not fit the graph's inputs.
    InvalidInput,
    /// Memory for a run could not be had.
    OutOfMemory,
    /// The pool of threads could not be started.
    Threads,
}

odin_error::error_type! {
    /// An error of this crate. Its message names the input or node, and what was expected.
    ErrorKind
}
