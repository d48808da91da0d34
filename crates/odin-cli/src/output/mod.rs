//! Output: standard output, standard error, and files.

pub(crate) mod advice;
pub(crate) mod atomic;
pub(crate) mod drawing;
pub(crate) mod progress;
pub(crate) mod score_files;
pub(crate) mod stdout;
