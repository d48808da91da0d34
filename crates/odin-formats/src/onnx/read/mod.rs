//! Reads classifiers from ONNX files.

mod build;
mod classifier;
#[cfg(test)]
mod conformance;
mod host;
mod import;
mod known;
mod node;
mod ops;
mod tensor;

pub use classifier::Model;

use super::proto::{Extent, GraphProto, ModelProto, NodeProto, ValueInfoProto, data_type};
use crate::{Error, ErrorKind};
use import::{Importer, Value};
use indexmap::IndexMap;
use odin_graph::{Dim, Graph, Shape, Type, ValueId};
use prost::Message;
use std::collections::HashSet;
use std::path::Path;

/// The versions of the standard operators that are read.
pub(super) const OPSETS: std::ops::RangeInclusive<i64> = 6..=28;

/// What a file leaves open.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The output that holds the logits, where there are several.
    pub output: Option<String>,
    /// The extents of the input without the batch axis, where the file leaves them open; `None`
    /// for those that the file says.
    pub input_shape: Option<Vec<Option<usize>>>,
}

/// Reads a classifier from a file; external data is looked for beside it.
///
/// # Errors
/// When the file cannot be read, is damaged, is no classifier, or uses operators that are not
/// supported: all of them are named.
pub fn open(path: &Path, options: &ReadOptions) -> Result<Model, Error> {
    let file = File::open(path)?;
    classifier::read(&file, options).map_err(|e| e.about(path.display()))
}

/// Reads a classifier from a file that is in memory already; `name` is what errors call it.
///
/// # Errors
/// As [`open`]; and when the file has external data.
pub fn read(bytes: &[u8], name: &str, options: &ReadOptions) -> Result<Model, Error> {
    let read = File::decode(bytes, None).and_then(|file| classifier::read(&file, options));
    read.map_err(|e| e.about(name))
}

/// Reads the whole graph of a file, with all inputs of real numbers and all outputs under the
/// file's names for them.
///
/// # Errors
/// As [`open`].
pub fn open_graph(path: &Path) -> Result<Graph, Error> {
    let file = File::open(path)?;
    file.whole_graph().map_err(|e| e.about(path.display()))
}

/// Reads the whole graph of a file that is in memory already; see [`open_graph`].
///
/// # Errors
/// As [`read`].
pub fn read_graph(bytes: &[u8], name: &str) -> Result<Graph, Error> {
    let read = File::decode(bytes, None).and_then(|file| file.whole_graph());
    read.map_err(|e| e.about(name))
}

/// A decoded file.
struct File<'a> {
    model: ModelProto,
    graph: GraphProto,
    folder: Option<&'a Path>,
    len: usize,
    opset: i64,
}

impl<'a> File<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let io = |e: std::io::Error| Error::new(ErrorKind::Io, e.to_string()).about(path.display());
        if !path.metadata().map_err(io)?.is_file() {
            let message = "not a regular file; give the ONNX file itself";
            return Err(Error::new(ErrorKind::Io, message).about(path.display()));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::decode(&bytes, Some(folder)).map_err(|e| e.about(path.display()))
    }

    fn decode(bytes: &[u8], folder: Option<&'a Path>) -> Result<Self, Error> {
        let model = ModelProto::decode(bytes)
            .map_err(|e| Error::corrupt(format!("this is no ONNX file, or it is damaged: {e}")))?;
        Self::from_proto(model, folder, bytes.len())
    }

    fn from_proto(
        mut model: ModelProto,
        folder: Option<&'a Path>,
        len: usize,
    ) -> Result<Self, Error> {
        let graph = model.graph.take().filter(|g| !g.node.is_empty());
        let graph = graph.ok_or_else(|| {
            Error::corrupt("this is no ONNX file, or it is damaged: it has no nodes")
        })?;
        let standard = |domain: &str| matches!(domain, "" | "ai.onnx");
        let opsets = &model.opset_import;
        let opset = opsets.iter().find(|o| standard(&o.domain));
        let opset = opset.map_or(1, |o| o.version);
        if !OPSETS.contains(&opset) {
            return Err(Error::unsupported(format!(
                "it is written in version {opset} of the operators, versions {} to {} are read; export it again with one of these (opset_version)",
                OPSETS.start(),
                OPSETS.end()
            )));
        }
        Ok(Self {
            model,
            graph,
            folder,
            len,
            opset,
        })
    }

    fn importer(&self) -> Importer<'_> {
        let functions = &self.model.functions;
        Importer::new(&self.graph, functions, self.opset, self.folder, self.len)
    }

    /// The inputs that are no weights.
    fn inputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        let weights: HashSet<&str> = self
            .graph
            .initializer
            .iter()
            .map(|t| t.name.as_str())
            .collect();
        let inputs = self.graph.input.iter();
        inputs.filter(move |i| !weights.contains(i.name.as_str()))
    }

    /// The nodes that a name is computed from, in the order of the file.
    fn nodes_for(&self, outputs: &[&str]) -> Vec<NodeProto> {
        let mut needed: HashSet<String> = outputs.iter().map(|n| n.to_string()).collect();
        let mut nodes: Vec<&NodeProto> = Vec::new();
        for node in self.graph.node.iter().rev() {
            if node.output.iter().any(|name| needed.contains(name)) {
                reads(node, &mut needed);
                nodes.push(node);
            }
        }
        nodes.into_iter().rev().cloned().collect()
    }

    fn whole_graph(&self) -> Result<Graph, Error> {
        let mut importer = self.importer();
        for info in self.inputs() {
            let input = declare(&mut importer, info, None)?;
            importer.define(&info.name, Value::Node(input));
        }
        let names: Vec<&str> = self.graph.output.iter().map(|o| o.name.as_str()).collect();
        importer.nodes(&self.nodes_for(&names), 0);
        importer.check()?;
        for name in names {
            let value = importer.output(name)?;
            importer.graph.output(name, value);
        }
        Ok(importer.graph)
    }
}

/// Adds the names that a node reads, those read in its branches included.
fn reads(node: &NodeProto, names: &mut HashSet<String>) {
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        names.extend(node.input.iter().cloned());
        for branch in node.attribute.iter().filter_map(|a| a.g.as_deref()) {
            names.extend(branch.output.iter().map(|o| o.name.clone()));
            open.extend(&branch.node);
        }
    }
}

/// Adds an input to the graph. Its first axis is the batch, whether the file leaves it open or
/// was written for a fixed number of images; `rest` are the other extents where the file leaves
/// those open.
fn declare(
    importer: &mut Importer<'_>,
    info: &ValueInfoProto,
    rest: Option<&[Option<usize>]>,
) -> Result<ValueId, Error> {
    let about = |e: Error| e.about(format_args!("input {:?}", info.name));
    let ty = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let ty = ty.ok_or_else(|| about(Error::unsupported("it is no tensor")))?;
    use data_type::*;
    if !matches!(ty.elem_type, FLOAT | DOUBLE | FLOAT16 | BFLOAT16 | UINT8) {
        let found = tensor::type_name(ty.elem_type);
        return Err(about(Error::unsupported(format!(
            "it takes {found}; images are real numbers or bytes"
        ))));
    }
    let extents: Vec<Option<usize>> = match &ty.shape {
        Some(shape) => shape
            .dim
            .iter()
            .map(|d| match d.value {
                Some(Extent::Value(v)) => usize::try_from(v).ok().filter(|&v| v > 0),
                _ => None,
            })
            .collect(),
        None => vec![None; rest.map_or(0, |r| r.len() + 1)],
    };
    let shape = input_shape(&extents, rest).map_err(about)?;
    if let Some(Some(images)) = extents.first() {
        importer.fixed_batch = Some(*images);
    }
    let added = importer.graph.input(&info.name, Type::float(shape));
    added.map_err(import::invalid)
}

fn input_shape(extents: &[Option<usize>], rest: Option<&[Option<usize>]>) -> Result<Shape, Error> {
    let show = |extents: &[Option<usize>]| {
        let text = |e: &Option<usize>| e.map_or("?".to_string(), |v| v.to_string());
        extents.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let Some((_, own)) = extents.split_first() else {
        return Err(Error::unsupported("it has no shape; say it (--image-size)"));
    };
    if own.is_empty() {
        return Err(Error::unsupported(
            "it has no axis beside that of the batch",
        ));
    }
    let fits = rest.is_none_or(|rest| {
        let mut pairs = own.iter().zip(rest);
        rest.len() == own.len() && pairs.all(|(o, r)| o.is_none() || r.is_none() || o == r)
    });
    if !fits {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!(
                "its shape is [{}], not [N, {}]",
                show(extents),
                show(rest.unwrap_or_default())
            ),
        ));
    }
    let dims: Option<Vec<Dim>> = own
        .iter()
        .enumerate()
        .map(|(i, o)| o.or(rest.and_then(|r| r[i])).map(Dim::Fixed))
        .collect();
    let dims = dims.ok_or_else(|| {
        Error::unsupported(format!(
            "its shape [{}] leaves extents open; say them (--image-size)",
            show(extents)
        ))
    })?;
    Ok(Shape::new(
        std::iter::once(Dim::BATCH).chain(dims).collect::<Vec<_>>(),
    ))
}

/// How many nodes of each operator a file has.
fn count_operators(graph: &GraphProto) -> IndexMap<String, usize> {
    let mut counts: IndexMap<String, usize> = IndexMap::new();
    for node in &graph.node {
        *counts.entry(node.op_type.clone()).or_default() += 1;
    }
    counts.sort_keys();
    counts
}
