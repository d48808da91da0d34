//! Finds the classifier in a file: its image input, and its logits without a final softmax.

use super::super::proto::data_type;
use super::builder::{Value, invalid};
use super::file::File;
use super::input::declare;
use super::output;
use super::topology::reads;
use crate::Error;
use indexmap::IndexMap;
use odin_error::first_shown;
use odin_graph::op::{Axis, Binary, Reduce, ReduceKind, Unary};
use odin_graph::{Dim, Graph, Op, Shape, ValueId, passes};
use std::collections::HashSet;

/// What a file leaves open.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The output that holds the logits, where there are several; unless it is given, the one that
    /// names, shapes and what is computed from what tell from the others.
    pub output: Option<String>,
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
    let output = output::choose(file, options.output.as_deref(), &mut notices)?;
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
    let value = importer.output(output)?;

    let mut graph = importer.builder.graph;
    let logits = strip_softmax(&graph, value, &mut notices);
    let logits = as_rows(&mut graph, logits, output)?;
    let classes = graph.shape(logits).dims()[1].at(1);
    if classes < 2 {
        return Err(Error::unsupported(format!(
            "the output {output:?} has {classes} class; a softmax needs two or more"
        )));
    }
    graph.output(output, logits);
    let elem_type = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    Ok(Model {
        input_shape: graph.shape(images).dims()[1..]
            .iter()
            .map(|d| d.at(1))
            .collect(),
        graph: passes::eliminate_dead_code(&graph).map_err(invalid)?,
        classes,
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

/// The logits behind a final softmax, which ODIN has to take at a temperature of its own.
fn strip_softmax(graph: &Graph, output: ValueId, notices: &mut Vec<String>) -> ValueId {
    let operand = |v: ValueId| graph.node(v).operands.first().copied();
    let mut value = output;
    // A change of shape after it does not hide it.
    while let (Op::Reshape(_), Some(x)) = (&graph.node(value).op, operand(value)) {
        value = x;
    }
    match (softmax_operand(graph, value), &graph.node(value).op) {
        (Some(logits), _) => {
            notices.push("the final Softmax of the model was removed: ODIN works on logits".into());
            logits
        }
        (None, Op::Unary(Unary::Sigmoid)) => {
            notices.push("the model ends in a Sigmoid, not in logits of a softmax: its classes may not exclude each other, and its ODIN scores mean little".into());
            output
        }
        _ => output,
    }
}

/// What a softmax is taken of: an operator, or `exp(x - max(x)) / sum` as TensorFlow writes it.
fn softmax_operand(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let node = graph.node(value);
    let along_classes = |axis: usize| axis > 0 && graph.shape(value).dims().len() > axis;
    match &node.op {
        Op::Softmax(Axis(axis)) | Op::LogSoftmax(Axis(axis)) if along_classes(*axis) => {
            node.operands.first().copied()
        }
        Op::Binary(Binary::Div) => {
            let [exponential, sum] = node.operands[..] else {
                return None;
            };
            let is_sum = matches!(
                &graph.node(sum).op,
                Op::Reduce(Reduce {
                    kind: ReduceKind::Sum,
                    ..
                })
            ) && graph.node(sum).operands == [exponential];
            let inner = graph.node(exponential);
            let is_exp = inner.op == Op::Unary(Unary::Exp);
            (is_sum && is_exp).then(|| without_maximum(graph, inner.operands[0]))
        }
        _ => None,
    }
}

/// `x` of `x - max(x)`: softmax is the same with and without the maximum.
fn without_maximum(graph: &Graph, value: ValueId) -> ValueId {
    let node = graph.node(value);
    let is_max = |v: ValueId, of: ValueId| {
        let node = graph.node(v);
        matches!(&node.op, Op::Reduce(r) if r.kind == ReduceKind::Max) && node.operands == [of]
    };
    match (&node.op, &node.operands[..]) {
        (Op::Binary(Binary::Sub), &[x, max]) if is_max(max, x) => x,
        _ => value,
    }
}

/// `[N, classes]`, axes of extent 1 left out.
fn as_rows(graph: &mut Graph, logits: ValueId, name: &str) -> Result<ValueId, Error> {
    let dims = graph.shape(logits).dims().to_vec();
    if let [Dim::PerImage(1), Dim::Fixed(_)] = dims[..] {
        return Ok(logits);
    }
    let wide: Vec<Dim> = dims
        .iter()
        .copied()
        .filter(|&d| d != Dim::Fixed(1))
        .collect();
    match wide[..] {
        [Dim::PerImage(1), Dim::Fixed(classes)] => graph
            .reshape(logits, Shape::batched(&[classes]))
            .map_err(invalid),
        _ => Err(Error::unsupported(format!(
            "the output {name:?} must be logits [N, classes], it is {}",
            graph.shape(logits)
        ))),
    }
}
