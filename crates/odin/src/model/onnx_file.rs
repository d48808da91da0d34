//! Stand-in until odin-formats has it.
use odin_formats::{Error, onnx};
use std::path::{Path, PathBuf};
pub(crate) struct File {
    bytes: Vec<u8>,
    name: String,
    path: Option<PathBuf>,
}
impl File {
    pub(crate) fn parse(bytes: &[u8], name: &str, folder: Option<&Path>) -> Result<Self, Error> {
        Ok(Self {
            bytes: bytes.to_vec(),
            name: name.into(),
            path: folder.map(|_| PathBuf::from(name)),
        })
    }
    pub(crate) fn classifier(&self, options: &onnx::ReadOptions) -> Result<onnx::Model, Error> {
        match &self.path {
            Some(p) => onnx::open(p, options),
            None => onnx::read(&self.bytes, &self.name, options),
        }
    }
    pub(crate) fn graph(&self) -> Result<odin_graph::Graph, Error> {
        match &self.path {
            Some(p) => onnx::open_graph(p),
            None => onnx::read_graph(&self.bytes, &self.name),
        }
    }
}
