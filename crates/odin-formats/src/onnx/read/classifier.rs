//! Finds the classifier in a file: its image input, and its logits without a final softmax.

use super::super::proto::data_type;
use super::builder::{Value, invalid};
use super::ending;
use super::file::File;
use super::input::declare;
use super::output;
use super::topology::reads;
use crate::Error;
use crate::onnx::proto::{AttributeProto, NodeProto};
use indexmap::IndexMap;
use odin_error::first_shown;
use odin_graph::{Graph, passes};
use std::collections::HashSet;

/// What a file leaves open.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The output that holds the logits, where there are several; unless it is given, the one that
    /// names, shapes and what is computed from what tell from the others.
    pub output: Option<String>,
    /// The number of classes, where it is known: among several outputs it tells the logits.
    pub classes: Option<usize>,
    /// The extents of the input without the batch axis, where the file leaves them open; `None`
    /// for those that the file says.
    pub input_shape: Option<Vec<Option<usize>>>,
}

/// A classifier read from an ONNX file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Model {
    /// One input, under the file's name for it, `[N, ...]`; one output, logits `[N, classes]`,
    /// under the file's name for it.
    pub graph: Graph,
    /// The number of classes.
    pub classes: usize,
    /// Whether each logit is that of a label which does not exclude the others: the file takes a
    /// sigmoid of each.
    pub multi_label: bool,
    /// The names of the classes, where the file says them, as those of scikit-learn do.
    pub class_names: Option<Vec<String>>,
    /// The input's extents without the batch axis: `[C, H, W]`, `[H, W, C]`, `[C, L]`, `[F]`.
    pub input_shape: Vec<usize>,
    /// Whether the file wants bytes (0 to 255) at its input.
    pub input_is_bytes: bool,
    /// The name of the program that wrote the file and its version.
    pub producer: String,
    /// The version of the standard operators.
    pub opset: i64,
    /// All outputs that could be asked for, by name.
    pub outputs: Vec<String>,
    /// The metadata properties of the file.
    pub metadata: IndexMap<String, String>,
    /// What was done that the user should know of, such as a final Softmax that was removed.
    pub notices: Vec<String>,
    /// How many nodes of each operator the file has, by name.
    pub operators: IndexMap<String, usize>,
}

impl File {
    /// The classifier that the file holds.
    ///
    /// # Errors
    /// When the file is damaged, is no classifier, leaves open what the options do not say, or uses
    /// operators that are not supported: all of them are named.
    pub fn classifier(&self, options: &ReadOptions) -> Result<Model, Error> {
        read(self, options).map_err(|e| e.about(&self.name))
    }
}

fn read(file: &File, options: &ReadOptions) -> Result<Model, Error> {
    let mut notices = Vec::new();
    let output = output::choose(file, options, &mut notices)?;
    let mut importer = file.importer();
    let nodes = file.nodes_for(&[output]);
    let needed: HashSet<&str> = nodes.iter().copied().flat_map(reads).collect();
    let inputs = file.inputs().filter(|i| needed.contains(i.name.as_str()));
    let inputs: Vec<_> = inputs.collect();
    let [info] = inputs[..] else {
        let names = first_shown(inputs.iter().map(|i| i.name.as_str()));
        return Err(Error::unsupported(format!(
            "a classifier has one input, {output:?} is computed from {}: {names:?}",
            inputs.len()
        )));
    };
    let images = declare(&mut importer.builder, info, options.input_shape.as_deref())?;
    if let Some(n) = importer.builder.fixed_batch {
        notices.push(format!(
            "the file is written for batches of {n}; batches of any size are run"
        ));
    }
    importer.define(&info.name, Value::Node(images));
    importer.nodes(nodes, 0);
    importer.check()?;
    if importer.builder.is_quantized {
        notices.push("the file is quantised: it is computed in f32, with the weights that are stored and without rounding what is computed from the image; scores differ a little from those of the quantised network".into());
    }
    let value = importer.output(output)?;

    let mut graph = importer.builder.graph;
    let ending::Logits {
        value: logits,
        multi_label,
    } = ending::logits(&mut graph, value, output, &mut notices)?;
    let classes = graph.shape(logits).dims()[1].at(1);
    graph.output(output, logits);
    let elem_type = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    Ok(Model {
        input_shape: graph.shape(images).dims()[1..]
            .iter()
            .map(|d| d.at(1))
            .collect(),
        graph: passes::eliminate_dead_code(&graph).map_err(invalid)?,
        classes,
        multi_label,
        class_names: class_names(&file.nodes_for(&[output]), classes),
        input_is_bytes: elem_type.is_some_and(|t| t.elem_type == data_type::UINT8),
        producer: producer(file),
        opset: file.opset,
        outputs: file
            .output_names()
            .into_iter()
            .map(str::to_string)
            .collect(),
        metadata: file.metadata(),
        notices,
        operators: file.count_operators(),
    })
}

fn producer(file: &File) -> String {
    let (name, version) = (&file.model.producer_name, &file.model.producer_version);
    format!("{name} {version}").trim().to_string()
}

/// The names that a node gives the classes, in their order. Plain numbers from 0 are no names.
fn class_names(nodes: &[&NodeProto], classes: usize) -> Option<Vec<String>> {
    let names = |attribute: &AttributeProto| -> Vec<String> {
        match attribute.name.as_str() {
            "classlabels_strings" => {
                let names = attribute.strings.iter();
                names
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect()
            }
            "classlabels_ints" | "classlabels_int64s" => {
                attribute.ints.iter().map(i64::to_string).collect()
            }
            _ => Vec::new(),
        }
    };
    let attributes = nodes.iter().rev().flat_map(|node| &node.attribute);
    let names = attributes.map(names).find(|names| names.len() == classes)?;
    let numbered = names
        .iter()
        .zip(0..)
        .all(|(name, i)| *name == i.to_string());
    (!numbered).then_some(names)
}
