//! The progress of a run over a set, and the images that have no score.

use crate::{Error, ErrorKind};
use std::fmt;

/// How far a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Images read and scored, or skipped.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

impl Progress {
    /// `done` images of `total`.
    pub fn new(done: usize, total: usize) -> Self {
        Self { done, total }
    }
}

/// An image that has no score, and why.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImageError {
    /// The image's name in its set.
    pub name: String,
    /// Why it has no score: it cannot be read, has another shape than the network takes, or gives
    /// scores that are no numbers; or the engine failed.
    pub error: Error,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error.kind() {
            // An error of reading names its image.
            ErrorKind::Data => self.error.fmt(f),
            _ => write!(f, "{}: {}", self.name, self.error),
        }
    }
}

impl std::error::Error for ImageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
