//! Reads classifiers from ONNX files.

mod builder;
mod classifier;
#[cfg(test)]
mod conformance;
mod const_value;
mod decoded_size;
mod ending;
mod external;
mod file;
mod import;
mod input;
mod node;
mod number;
mod operator;
mod ops;
mod output;
mod sparse;
mod tensor;
#[cfg(test)]
mod tests;
mod topology;

pub use classifier::{Model, ReadOptions};
pub use file::File;

use crate::Error;
use odin_graph::Graph;
use std::path::Path;

/// Reads a classifier from a file; external data is looked for beside it. To read one file with
/// several options, see [`File`].
///
/// # Errors
/// Those of [`File::open`] and [`File::classifier`].
pub fn open(path: &Path, options: &ReadOptions) -> Result<Model, Error> {
    File::open(path)?.classifier(options)
}

/// Reads a classifier from a file that is in memory already; `name` is what errors call it.
///
/// # Errors
/// As [`open`]; and when the file has external data.
pub fn read(bytes: &[u8], name: &str, options: &ReadOptions) -> Result<Model, Error> {
    File::parse(bytes.to_vec(), name, None)?.classifier(options)
}

/// Reads the whole graph of a file; see [`File::graph`].
///
/// # Errors
/// Those of [`File::open`] and [`File::graph`].
pub fn open_graph(path: &Path) -> Result<Graph, Error> {
    File::open(path)?.graph()
}

/// Reads the whole graph of a file that is in memory already; see [`File::graph`].
///
/// # Errors
/// As [`open_graph`]; and when the file has external data.
pub fn read_graph(bytes: &[u8], name: &str) -> Result<Graph, Error> {
    File::parse(bytes.to_vec(), name, None)?.graph()
}
