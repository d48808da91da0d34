//! Output: standard output, standard error, and files.

pub(crate) mod advice;
pub(crate) mod atomic;
pub(crate) mod command_line;
pub(crate) mod drawing;
mod free_names;
pub(crate) mod progress;
pub(crate) mod report_files;
pub(crate) mod score_files;
pub(crate) mod stdout;
