//! The error of this crate.

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No library of ONNX Runtime could be loaded, or another one is in use already.
    Library,
    /// The library lacks the provider, or the provider could not be started.
    Provider,
    /// The graph cannot be written as ONNX, or the runtime does not take it.
    UnsupportedGraph,
    /// The data given to a run does not fit the graph's inputs.
    InvalidInput,
    /// The runtime failed while it ran the graph.
    Run,
}

odin_error::error_type! {
    /// An error of this crate. Its message names the library, input or output, what was expected,
    /// and what to do.
    ErrorKind
}

/// What the runtime says of an error, without the place in its source code.
pub(crate) fn reason<R>(error: &ort::Error<R>) -> String {
    let message = error.message().trim();
    let coded = message.rsplit_once("[ONNXRuntimeError] : ");
    // Such as `1 : FAIL : what went wrong`.
    let plain = coded.and_then(|(_, coded)| coded.splitn(3, " : ").nth(2));
    plain.unwrap_or(message).to_string()
}
