//! The error type that every crate declares for itself by [`error_type!`], and what messages need:
//! the escaping of names from files, and words in their number.

mod escape;
mod number;
mod printable;

pub use escape::{escape, escape_lines, first_shown, shown, spell, spell_path};
pub use number::{agree, counted};
pub use printable::{printable, printable_json};

use std::sync::Arc;

/// The error that caused another one.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Declares a crate's `Error`: a kind that a program can act on, a message for a person, and the
/// cause where another library gave one.
///
/// The message is complete: it ends in what the cause says, so that printing the error alone
/// tells everything; [`source`](std::error::Error::source) is there for programs. Control
/// characters, as hostile files have them in names, are escaped ([`escape_lines`]).
///
/// ```
/// #[derive(Debug, Clone, Copy, PartialEq, Eq)]
/// pub enum ErrorKind {
///     Io,
/// }
///
/// odin_error::error_type! {
///     /// An error of this crate.
///     ErrorKind
/// }
///
/// let cause = std::io::Error::other("the disk is full");
/// let error = Error::new(ErrorKind::Io, "cannot write").because(cause).about("a\x07.csv");
/// assert_eq!(error.to_string(), "a\\u{7}.csv: cannot write: the disk is full");
/// assert_eq!(error.kind(), ErrorKind::Io);
/// assert!(std::error::Error::source(&error).is_some());
/// ```
#[macro_export]
macro_rules! error_type {
    ($(#[$attribute:meta])* $kind:ty) => {
        $(#[$attribute])*
        #[derive(Debug, Clone)]
        pub struct Error {
            kind: $kind,
            message: String,
            source: Option<$crate::Cause>,
        }

        // Not every crate needs each of them.
        #[allow(dead_code)]
        impl Error {
            /// What went wrong.
            pub fn kind(&self) -> $kind {
                self.kind
            }

            pub(crate) fn new(kind: $kind, message: impl Into<String>) -> Self {
                Self {
                    kind,
                    message: $crate::escape_lines(&message.into()),
                    source: None,
                }
            }

            /// The same error, its message led by the file, tensor or argument that it is about.
            pub(crate) fn about(mut self, subject: impl ::std::fmt::Display) -> Self {
                let subject = $crate::escape(&subject.to_string());
                self.message = format!("{subject}: {}", self.message);
                self
            }

            /// The same error, its message followed by the cause.
            pub(crate) fn because(
                mut self,
                cause: impl Into<Box<dyn ::std::error::Error + Send + Sync>>,
            ) -> Self {
                let cause = $crate::Cause::from(cause.into());
                self.message += ": ";
                self.message += &$crate::escape_lines(&cause.to_string());
                self.source = Some(cause);
                self
            }

            /// An error that says what its cause says.
            pub(crate) fn from_cause(
                kind: $kind,
                cause: impl ::std::error::Error + Send + Sync + 'static,
            ) -> Self {
                let mut error = Self::new(kind, cause.to_string());
                error.source = Some(::std::sync::Arc::new(cause));
                error
            }
        }

        /// Errors are equal that say the same, whatever caused them.
        impl PartialEq for Error {
            fn eq(&self, other: &Self) -> bool {
                (self.kind, &self.message) == (other.kind, &other.message)
            }
        }

        impl Eq for Error {}

        impl ::std::fmt::Display for Error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.message)
            }
        }

        impl ::std::error::Error for Error {
            fn source(&self) -> Option<&(dyn ::std::error::Error + 'static)> {
                let source = self.source.as_deref()?;
                Some(source)
            }
        }
    };
}
