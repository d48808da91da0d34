//! What leaves the program: standard output, files, and what is said meanwhile.

pub(crate) mod atomic;
pub(crate) mod progress;
pub(crate) mod score_files;
pub(crate) mod stdout;
