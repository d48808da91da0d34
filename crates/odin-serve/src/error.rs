//! The error of this crate: why a service does not start.

/// What went wrong, for a caller that wants to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A detector does not open, or two have the same name.
    Detector,
    /// An option is out of its range.
    Options,
    /// The address cannot be listened on.
    Address,
    /// The certificate or its key cannot be used.
    Tls,
    /// The file of the token cannot be used.
    Token,
    /// The operating system refuses a thread, a signal handler or a socket.
    Io,
}

odin_error::error_type! {
    /// Why a service does not start. Its message names the file or the option, and what was
    /// expected.
    ErrorKind
}
