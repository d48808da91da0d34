//! A network as its file defines it, before its preprocessing is resolved.

use super::{DetectorCard, Layout, ModelFile, Sourced};
use crate::{Error, ErrorKind, Provenance};
use odin_graph::Graph;

/// A network as its file has it.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) graph: Graph,
    pub(super) architecture: String,
    pub(super) file: ModelFile,
    pub(super) layout: Sourced<Layout>,
    pub(super) image_shape: Sourced<[usize; 3]>,
    /// What the file says of the detector in it.
    pub(super) card: Option<DetectorCard>,
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// The error of a setting, by the caller or by a file, that does not fit the model.
pub(super) fn unfit(from: &Provenance, message: impl Into<String>) -> Error {
    match from {
        Provenance::Given | Provenance::Detector => Error::new(ErrorKind::Options, message),
        _ => invalid(message),
    }
}
