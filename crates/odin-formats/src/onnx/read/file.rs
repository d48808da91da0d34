//! A decoded ONNX file, before a graph is built from it.

use super::builder::{Value, invalid};
use super::decoded_size::decoded_size;
use super::external::Place;
use super::import::Importer;
use super::input::declare;
use super::tensor::Weights;
use super::topology::{self, reads};
use crate::allowance::unfolded_limit;
use crate::onnx::photo::{self, Photo};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::{Error, ErrorKind};
use indexmap::{IndexMap, IndexSet};
use odin_graph::{Budget, Graph};
use odin_untrusted::file::read_regular;
use odin_untrusted::impostor;
use prost::Message;
use prost::bytes::Bytes;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The versions of the standard operators that are read.
pub(super) const OPSETS: RangeInclusive<i64> = 6..=28;

/// The largest file: protobuf messages have at most 2 GiB. Weights beyond lie in other files.
const LARGEST_FILE: u64 = 1 << 31;

/// The most inputs that a graph is made with.
const MAX_INPUTS: usize = 1024;

/// An ONNX file, read and decoded once. Of one file graphs are made any number of times, with other
/// options each: they share the weights.
#[derive(Debug)]
pub struct File {
    pub(super) name: String,
    pub(super) model: ModelProto,
    pub(super) graph: GraphProto,
    /// Where external data lies.
    folder: Option<PathBuf>,
    weights: Weights,
    len: usize,
    pub(super) opset: i64,
}

/// The nodes that resize and crop are for other runtimes: here images come of one size.
fn take_off_photo(model: &ModelProto, graph: &mut GraphProto) -> Result<(), Error> {
    let mut properties = model.metadata_props.iter();
    match properties.find(|property| property.key == photo::PROPERTY) {
        Some(property) => property.value.parse::<Photo>()?.take_off(graph),
        None => Ok(()),
    }
}

impl File {
    /// Reads a file; external data is looked for beside it.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or is written in a version of the operators that
    /// is not read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = read_regular(path, LARGEST_FILE)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(bytes, path.display().to_string(), Some(folder))
    }

    /// Decodes a file that is in memory, whose bytes are kept and not copied: a `Vec<u8>`, an
    /// `Arc<[u8]>`, a `&'static [u8]`. `name` is what errors call it, `folder` where its external
    /// data lies.
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn parse(
        bytes: impl AsRef<[u8]> + Send + 'static,
        name: impl Into<String>,
        folder: Option<&Path>,
    ) -> Result<Self, Error> {
        let bytes = Bytes::from_owner(bytes);
        let (len, name) = (bytes.len(), name.into());
        if let Some(found) = impostor::recognise(&bytes) {
            let message = format!("expected an ONNX file, but this is {found}");
            return Err(Error::new(ErrorKind::UnknownContainer, message).about(&name));
        }
        let decoded = decoded_size(&bytes).unwrap_or(0);
        let mut budget = Budget::new(unfolded_limit(len as u64));
        let affordable = budget.spend::<u8>(decoded);
        affordable.map_err(|e| invalid(e).about(&name))?;
        let model = ModelProto::decode(bytes).map_err(|e| {
            Error::corrupt("this is no ONNX file, or it is damaged")
                .because(e)
                .about(&name)
        })?;
        Self::from_proto(model, name, folder, len)
    }

    pub(super) fn from_proto(
        mut model: ModelProto,
        name: String,
        folder: Option<&Path>,
        len: usize,
    ) -> Result<Self, Error> {
        let graph = model.graph.take().filter(|g| !g.node.is_empty());
        let mut graph = graph.ok_or_else(|| {
            Error::corrupt("this is no ONNX file, or it is damaged: it has no nodes").about(&name)
        })?;
        take_off_photo(&model, &mut graph).map_err(|e| e.about(&name))?;
        let standard = |domain: &str| matches!(domain, "" | "ai.onnx");
        let opsets = &model.opset_import;
        let opset = opsets.iter().find(|o| standard(&o.domain));
        let opset = opset.map_or(1, |o| o.version);
        if !OPSETS.contains(&opset) {
            return Err(Error::unsupported(format!(
                "it is written in version {opset} of the operators, versions {} to {} are read; export it again with one of these (opset_version)",
                OPSETS.start(),
                OPSETS.end()
            ))
            .about(&name));
        }
        topology::sort(&mut model, &mut graph).map_err(|e| e.about(&name))?;
        Ok(Self {
            weights: Weights::of(&graph.initializer, &graph.node),
            folder: folder.map(Path::to_path_buf),
            name,
            model,
            graph,
            len,
            opset,
        })
    }

    /// What errors call it: its path, or the name given to [`File::parse`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files beside it that hold its tensors, each once; those that may not be read are not
    /// among them.
    pub fn external_files(&self) -> Vec<PathBuf> {
        let tensors = self.graph.initializer.iter();
        let folder = self.folder.as_deref();
        let places = tensors.filter_map(|tensor| Place::of(tensor, folder).ok()?);
        let mut paths: Vec<PathBuf> = places.map(|place| place.path).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Texts that the file carries, by name.
    pub fn metadata(&self) -> IndexMap<String, String> {
        let entries = self.model.metadata_props.iter();
        entries.map(|e| (e.key.clone(), e.value.clone())).collect()
    }

    /// The whole graph, with all inputs of real numbers and all outputs under the file's names for
    /// them.
    ///
    /// # Errors
    /// When the file is damaged or uses operators that are not supported: all of them are named.
    pub fn graph(&self) -> Result<Graph, Error> {
        self.whole_graph().map_err(|e| e.about(&self.name))
    }

    fn whole_graph(&self) -> Result<Graph, Error> {
        let mut importer = self.importer();
        let inputs = self.inputs().count();
        if inputs > MAX_INPUTS {
            return Err(Error::unsupported(format!(
                "it has {inputs} inputs; at most {MAX_INPUTS} are read"
            )));
        }
        for info in self.inputs() {
            let input = declare(&mut importer.builder, info, None)?;
            importer.define(&info.name, Value::Node(input));
        }
        let names = self.output_names();
        importer.nodes(self.nodes_for(&names), 0);
        importer.check()?;
        for name in names {
            let value = importer.output(name)?;
            importer.builder.graph.output(name, value);
        }
        Ok(importer.builder.graph)
    }

    pub(super) fn importer(&self) -> Importer<'_> {
        Importer::new(
            &self.graph,
            &self.model.functions,
            &self.weights,
            self.opset,
            self.folder.as_deref(),
            self.len,
        )
    }

    /// The inputs that are no weights.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        let dense = self.graph.initializer.iter().map(|t| t.name.as_str());
        let sparse = self.graph.sparse_initializer.iter().map(|s| s.name());
        let weights: HashSet<&str> = dense.chain(sparse).collect();
        let inputs = self.graph.input.iter();
        inputs.filter(move |i| !weights.contains(i.name.as_str()))
    }

    /// The names of the outputs, each once.
    pub(super) fn output_names(&self) -> Vec<&str> {
        let names = self.graph.output.iter().map(|o| o.name.as_str());
        names.collect::<IndexSet<_>>().into_iter().collect()
    }

    /// The nodes that names are computed from, in the order of the file.
    pub(super) fn nodes_for(&self, outputs: &[&str]) -> Vec<&NodeProto> {
        let mut needed: HashSet<&str> = outputs.iter().copied().collect();
        let mut nodes: Vec<&NodeProto> = Vec::new();
        for node in self.graph.node.iter().rev() {
            if node.output.iter().any(|name| needed.contains(&name[..])) {
                needed.extend(reads(node));
                nodes.push(node);
            }
        }
        nodes.reverse();
        nodes
    }

    /// How many nodes of each operator there are.
    pub(super) fn count_operators(&self) -> IndexMap<String, usize> {
        let mut counts: IndexMap<String, usize> = IndexMap::new();
        for node in &self.graph.node {
            *counts.entry(node.op_type.clone()).or_default() += 1;
        }
        counts.sort_keys();
        counts
    }
}
