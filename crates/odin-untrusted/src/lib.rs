//! Readers of untrusted bytes: files that must end, bounded inflate, zip, tar and pickle, a guard
//! around the readers of other libraries, and what files are that are none of those expected.
//!
//! What reads a format of checkpoints or data sets reads its containers here, so that the limits
//! against hostile files are stated once. No reader panics (those of other libraries run in
//! [`guard::contain`]), none allocates more than a stated limit or a small multiple of what the
//! file holds, and nothing in a file is ever executed. Names are given as they are in the file:
//! escape them before they are shown.

mod error;
pub mod file;
pub mod guard;
pub mod impostor;
pub mod inflate;
pub mod pickle;
pub mod tar;
pub mod zip;

pub use error::{Error, ErrorKind};
