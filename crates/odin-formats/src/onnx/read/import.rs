//! Walks through the nodes of a file and writes them as a graph.

use super::known::{Kind, Known};
use super::node::{Node, label};
use super::tensor::{Constant, Weights};
use super::{host, ops, tensor};
use crate::Error;
use crate::onnx::proto::{FunctionProto, GraphProto, NodeProto, TensorProto};
use odin_graph::op::Compare;
use odin_graph::{Graph, Shape, Tensor, ValueId};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What a name of the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A value of the graph.
    Node(ValueId),
    /// Numbers known now.
    Known(Known),
}

/// Constants up to this size are looked into when an operator needs its operand known.
pub(super) const LARGEST_KNOWN: usize = 1 << 16;
/// How deep functions and branches may lie inside of each other.
const MAX_DEPTH: usize = 16;

pub(super) struct Importer<'a> {
    pub(super) graph: Graph,
    names: HashMap<String, Value>,
    /// For values whose rows are not in the file's order: how many positions of each image lie
    /// side by side.
    pub(super) interleaved: HashMap<ValueId, usize>,
    initializers: HashMap<&'a str, (usize, &'a TensorProto)>,
    /// The initializers, where the file keeps them for several readings.
    pub(super) weights: Option<&'a Weights>,
    functions: HashMap<(&'a str, &'a str), &'a FunctionProto>,
    folder: Option<&'a Path>,
    /// Those that have been counted.
    external_files: HashSet<PathBuf>,
    pub(super) opset: i64,
    /// The number of images that the file was written for, where it is not left open.
    pub(super) fixed_batch: Option<usize>,
    /// Elements that may still be made out of little.
    budget: usize,
    /// Nodes that may still be visited.
    nodes_left: usize,
    /// Names that failed nodes would have given.
    failed: HashSet<String>,
    failures: Vec<Failure>,
}

struct Failure {
    node: String,
    error: Error,
}

impl<'a> Importer<'a> {
    pub(super) fn new(
        graph: &'a GraphProto,
        functions: &'a [FunctionProto],
        opset: i64,
        folder: Option<&'a Path>,
        file_len: usize,
    ) -> Self {
        let initializers = graph.initializer.iter().enumerate();
        let functions = functions.iter();
        Self {
            graph: Graph::new(),
            names: HashMap::new(),
            interleaved: HashMap::new(),
            initializers: initializers
                .map(|(i, t)| (t.name.as_str(), (i, t)))
                .collect(),
            weights: None,
            functions: functions
                .map(|f| ((f.domain.as_str(), f.name.as_str()), f))
                .collect(),
            folder,
            external_files: HashSet::new(),
            opset,
            fixed_batch: None,
            budget: (1 << 22) + file_len,
            nodes_left: 100_000 + file_len / 16,
            failed: HashSet::new(),
            failures: Vec::new(),
        }
    }

    pub(super) fn define(&mut self, name: &str, value: Value) {
        self.names.insert(name.to_string(), value);
    }

    /// Counts elements that are about to be made.
    ///
    /// # Errors
    /// When a small file asks for more than it has any reason to.
    pub(super) fn spend(&mut self, elements: usize) -> Result<(), Error> {
        match self.budget.checked_sub(elements) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Error::unsupported(
                "the file's constants unfold to more than a file of its size should need",
            )),
        }
    }

    /// Reads nodes in the order of the file, and goes on where one cannot be read.
    pub(super) fn nodes<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n NodeProto>,
        depth: usize,
    ) {
        for proto in nodes {
            let outputs = proto.output.iter().filter(|name| !name.is_empty());
            match self.node(proto, depth) {
                Ok(Some(values)) => {
                    for (name, value) in proto.output.iter().zip(values) {
                        self.define(name, value);
                    }
                }
                Ok(None) => self.failed.extend(outputs.cloned()),
                Err(error) => {
                    self.failed.extend(outputs.cloned());
                    let node = label(proto);
                    self.failures.push(Failure { node, error });
                }
            }
        }
    }

    /// What a node gives; `None` when it reads what a failed node would have given.
    fn node(&mut self, proto: &NodeProto, depth: usize) -> Result<Option<Vec<Value>>, Error> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or_else(too_large)?;
        let function = self
            .functions
            .get(&(&proto.domain[..], &proto.op_type[..]))
            .copied();
        let standard = matches!(proto.domain.as_str(), "" | "ai.onnx");
        let operator = ops::find(&proto.op_type).filter(|_| standard);
        // Before the check of what it reads, so that all unknown operators are named at once.
        if function.is_none() && operator.is_none() {
            return Err(unknown_operator(proto));
        }
        if proto.input.iter().any(|name| self.failed.contains(name)) {
            return Ok(None);
        }
        if let Some(function) = function {
            return self.call(function, proto, depth);
        }
        let operator = operator.ok_or_else(|| unknown_operator(proto))?;
        let inputs = proto.input.iter().map(|name| match name.as_str() {
            "" => Ok(None),
            name => self.value(name).map(Some),
        });
        let node = Node {
            inputs: inputs.collect::<Result<_, _>>()?,
            proto,
            opset: self.opset,
        };
        let known = node.inputs.iter().flatten().map(|value| match value {
            Value::Known(known) => known.data.len(),
            Value::Node(_) => 0,
        });
        self.spend(known.sum())?;
        if proto.op_type == "If" {
            return self.branch(&node, depth);
        }
        self.graph.at(match proto.name.as_str() {
            "" => proto.output.first().cloned().unwrap_or_default(),
            name => name.to_string(),
        });
        if let Some(values) = host::evaluate(self, &node)? {
            return Ok(Some(values));
        }
        (operator.import)(self, &node).map(Some)
    }

    /// The value of a name.
    pub(super) fn value(&mut self, name: &str) -> Result<Value, Error> {
        if let Some(value) = self.names.get(name) {
            return Ok(value.clone());
        }
        let Some(&(i, initializer)) = self.initializers.get(name) else {
            return Err(Error::corrupt(format!(
                "nothing gives {name:?}, which it reads"
            )));
        };
        let value = self
            .account_for(initializer)
            .and_then(|()| match self.weights {
                Some(weights) => weights.get(i, initializer, self.folder),
                None => tensor::constant(initializer, self.folder),
            })
            .and_then(|constant| self.add_constant(constant))
            .map_err(|e| e.about(format_args!("initializer {name:?}")))?;
        self.define(name, value.clone());
        Ok(value)
    }

    /// Counts a constant, which a file may name many times. A file of external data has as many
    /// elements to give as it has bytes.
    fn account_for(&mut self, proto: &TensorProto) -> Result<(), Error> {
        if let Some(path) = tensor::external_file(proto, self.folder)?
            && let Ok(found) = path.metadata()
            && self.external_files.insert(path)
        {
            let len = usize::try_from(found.len()).unwrap_or(usize::MAX);
            self.budget = self.budget.saturating_add(len);
        }
        let extents = tensor::extents(proto)?;
        self.spend(extents.iter().fold(1, |n, &d| n.saturating_mul(d)))
    }

    /// The value of an output of the file.
    pub(super) fn output(&mut self, name: &str) -> Result<ValueId, Error> {
        let value = self.value(name)?;
        let value = self.node_of(&value)?;
        match self.is_in_order(value) {
            true => Ok(value),
            false => Err(Error::unsupported(format!(
                "the output {name:?} mixes the images of a batch"
            ))),
        }
    }

    /// Real numbers become a constant of the graph, others are kept to be computed with.
    pub(super) fn constant(&mut self, proto: &TensorProto) -> Result<Value, Error> {
        self.account_for(proto)?;
        let constant = tensor::constant(proto, self.folder)?;
        self.add_constant(constant)
    }

    fn add_constant(&mut self, constant: Constant) -> Result<Value, Error> {
        Ok(match constant {
            Constant::Real(tensor) => Value::Node(self.graph.constant(tensor).map_err(invalid)?),
            Constant::Other(known) => Value::Known(known),
        })
    }

    /// A value as a node of the graph.
    pub(super) fn node_of(&mut self, value: &Value) -> Result<ValueId, Error> {
        let known = match value {
            Value::Node(id) => return Ok(*id),
            Value::Known(known) => known,
        };
        if !known.data.iter().all(|n| n.is_fixed()) {
            return Err(Error::unsupported(
                "the size of the batch is used as a number to compute with",
            ));
        }
        let data: Vec<f32> = known.data.iter().map(|n| n.value as f32).collect();
        let tensor = Tensor::new(known.shape.clone(), data).map_err(invalid)?;
        let id = self.graph.constant(tensor).map_err(invalid)?;
        match known.kind {
            Kind::Bool => {
                let zero = self.graph.scalar(0.0).map_err(invalid)?;
                self.graph
                    .compare(Compare::Greater, id, zero)
                    .map_err(invalid)
            }
            Kind::Float | Kind::Int => Ok(id),
        }
    }

    /// A value's numbers, where they are known now and not many.
    pub(super) fn known_of(&self, value: &Value) -> Option<Known> {
        match value {
            Value::Known(known) => Some(known.clone()),
            Value::Node(id) => {
                let tensor = self.graph.constant_value(*id)?;
                let small = tensor.data().len() <= LARGEST_KNOWN;
                small.then(|| Known {
                    kind: Kind::Float,
                    shape: tensor.shape().to_vec(),
                    data: tensor
                        .data()
                        .iter()
                        .map(|&v| super::known::Number::fixed(f64::from(v)))
                        .collect(),
                })
            }
        }
    }

    pub(super) fn shape_of(&self, value: &Value) -> Shape {
        match value {
            Value::Node(id) => self.graph.shape(*id).clone(),
            Value::Known(known) => Shape::fixed(&known.shape),
        }
    }

    /// `If` whose condition is known: the branch that is taken.
    fn branch(&mut self, node: &Node<'_>, depth: usize) -> Result<Option<Vec<Value>>, Error> {
        let condition = node.known(self, 0)?;
        let taken = condition
            .and_then(|c| c.data.first().copied())
            .is_some_and(|n| n.value != 0.0);
        let name = if taken { "then_branch" } else { "else_branch" };
        let attributes = &node.proto.attribute;
        let branch = attributes.iter().find(|a| a.name == name);
        let branch = branch.and_then(|a| a.g.as_deref());
        let branch = branch.ok_or_else(|| Error::corrupt(format!("it has no {name}")))?;
        if depth >= MAX_DEPTH {
            return Err(too_large());
        }
        for initializer in &branch.initializer {
            let value = self.constant(initializer)?;
            self.define(&initializer.name, value);
        }
        self.nodes(&branch.node, depth + 1);
        self.results(branch.output.iter().map(|o| o.name.as_str()))
    }

    /// The values of names, unless nodes before them failed.
    fn results<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<Option<Vec<Value>>, Error> {
        if names.clone().any(|name| self.failed.contains(name)) {
            return Ok(None);
        }
        names
            .map(|name| self.value(name))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A function of the file: its nodes, under names of their own, with the settings of the call.
    fn call(
        &mut self,
        function: &FunctionProto,
        call: &NodeProto,
        depth: usize,
    ) -> Result<Option<Vec<Value>>, Error> {
        if depth >= MAX_DEPTH {
            return Err(too_large());
        }
        let prefix = format!("call {}/", self.nodes_left); // no two calls have as many left
        let mut renamed: HashMap<&str, String> = HashMap::new();
        for (i, name) in function.input.iter().enumerate() {
            let actual = call.input.get(i).cloned().unwrap_or_default();
            renamed.insert(name, actual);
        }
        let rename = |renamed: &HashMap<&str, String>, name: &String| match name.as_str() {
            "" => String::new(),
            name => renamed
                .get(name)
                .cloned()
                .unwrap_or_else(|| format!("{prefix}{name}")),
        };
        let body: Vec<NodeProto> = function
            .node
            .iter()
            .map(|node| NodeProto {
                input: node.input.iter().map(|n| rename(&renamed, n)).collect(),
                output: node.output.iter().map(|n| rename(&renamed, n)).collect(),
                name: match call.name.as_str() {
                    "" => node.name.clone(),
                    name => format!("{name}/{}", node.name),
                },
                attribute: bound(node, function, call),
                ..node.clone()
            })
            .collect();
        let own = function.opset_import.iter().find(|o| o.domain.is_empty());
        let outer = self.opset;
        self.opset = own.map_or(outer, |o| o.version);
        self.nodes(&body, depth + 1);
        self.opset = outer;
        let outputs: Vec<String> = function
            .output
            .iter()
            .map(|n| rename(&renamed, n))
            .collect();
        self.results(outputs.iter().map(String::as_str))
    }

    /// All that went wrong, in one message.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Some(first) = self.failures.first() else {
            return Ok(());
        };
        const SHOWN: usize = 20;
        let kind = first.error.kind();
        let lines: Vec<String> = self
            .failures
            .iter()
            .take(SHOWN)
            .map(|f| format!("  {}: {}", f.node, f.error))
            .collect();
        let more = match self.failures.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        let count = self.failures.len();
        let nodes = if count == 1 { "node" } else { "nodes" };
        let message = format!(
            "{count} {nodes} cannot be read:\n{}{more}",
            lines.join("\n")
        );
        Err(Error::new(kind, message))
    }
}

/// The attributes of a function's node, those that refer to the call's filled in.
fn bound(
    node: &NodeProto,
    function: &FunctionProto,
    call: &NodeProto,
) -> Vec<crate::onnx::proto::AttributeProto> {
    let fill = |attribute: &crate::onnx::proto::AttributeProto| {
        if attribute.ref_attr_name.is_empty() {
            return Some(attribute.clone());
        }
        let candidates = call.attribute.iter().chain(&function.attribute_proto);
        let mut found = candidates
            .into_iter()
            .find(|a| a.name == attribute.ref_attr_name)?
            .clone();
        found.name = attribute.name.clone();
        Some(found)
    };
    node.attribute.iter().filter_map(fill).collect()
}

fn unknown_operator(proto: &NodeProto) -> Error {
    let domain = match proto.domain.as_str() {
        "" | "ai.onnx" => String::new(),
        domain => format!(" of {domain:?}"),
    };
    Error::unsupported(format!(
        "the operator {}{domain} is not supported",
        proto.op_type
    ))
}

fn too_large() -> Error {
    Error::unsupported("functions and branches unfold to more than a file of this size should need")
}

/// A node that the graph does not accept: the file's attributes and shapes do not fit.
pub(super) fn invalid(error: odin_graph::Error) -> Error {
    Error::unsupported(error.to_string())
}
