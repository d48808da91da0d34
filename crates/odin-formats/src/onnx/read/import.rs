//! Imports the nodes of a file into a graph: resolves names, inlines functions, takes branches,
//! evaluates constants.

use super::builder::{Builder, Value};
use super::node::{Node, label};
use super::ops;
use super::tensor::Weights;
use crate::Error;
use crate::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, SparseTensorProto, TensorProto,
};
use odin_graph::ValueId;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// How deep functions and branches may lie inside of each other.
const MAX_DEPTH: usize = 16;

/// A file on its way to become a graph.
pub(super) struct Importer<'a> {
    pub(super) builder: Builder<'a>,
    names: HashMap<String, Value>,
    initializers: HashMap<&'a str, (usize, &'a TensorProto)>,
    sparse: HashMap<&'a str, &'a SparseTensorProto>,
    weights: &'a Weights,
    functions: HashMap<(&'a str, &'a str), &'a FunctionProto>,
    opset: i64,
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
        weights: &'a Weights,
        opset: i64,
        folder: Option<&'a Path>,
        file_len: usize,
    ) -> Self {
        let initializers = graph.initializer.iter().enumerate();
        let sparse = graph.sparse_initializer.iter();
        let functions = functions.iter();
        Self {
            builder: Builder::new(folder, file_len),
            names: HashMap::new(),
            initializers: initializers
                .map(|(i, t)| (t.name.as_str(), (i, t)))
                .collect(),
            sparse: sparse.map(|s| (s.name(), s)).collect(),
            weights,
            functions: functions
                .map(|f| ((f.domain.as_str(), f.name.as_str()), f))
                .collect(),
            opset,
            nodes_left: 100_000 + file_len / 16,
            failed: HashSet::new(),
            failures: Vec::new(),
        }
    }

    pub(super) fn define(&mut self, name: &str, value: Value) {
        self.names.insert(name.to_string(), value);
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
        let constant = node.inputs.iter().flatten().map(|value| match value {
            Value::Const(value) => value.data.len(),
            Value::Node(_) => 0,
        });
        self.builder.spend(constant.sum())?;
        self.builder.graph.at(match proto.name.as_str() {
            "" => proto.output.first().cloned().unwrap_or_default(),
            name => name.to_string(),
        });
        match operator.is_branch() {
            true => self.branch(&node, depth),
            false => operator.read(&mut self.builder, &node).map(Some),
        }
    }

    /// The value of a name.
    pub(super) fn value(&mut self, name: &str) -> Result<Value, Error> {
        if let Some(value) = self.names.get(name) {
            return Ok(value.clone());
        }
        let value = match (self.initializers.get(name), self.sparse.get(name)) {
            (Some(&(i, dense)), _) => self.builder.initializer(self.weights, i, dense),
            (None, Some(sparse)) => self.builder.sparse_constant(sparse),
            (None, None) => {
                return Err(Error::corrupt(format!(
                    "its input {name:?} is not the output of any node"
                )));
            }
        };
        let value = value.map_err(|e| e.about(format_args!("initializer {name:?}")))?;
        self.define(name, value.clone());
        Ok(value)
    }

    /// The value of an output of the file.
    pub(super) fn output(&mut self, name: &str) -> Result<ValueId, Error> {
        let value = self.value(name)?;
        let value = self.builder.node_of(&value)?;
        match self.builder.is_in_order(value) {
            true => Ok(value),
            false => Err(Error::unsupported(format!(
                "the output {name:?} mixes the images of a batch"
            ))),
        }
    }

    /// `If` whose condition is known: the branch that is taken.
    fn branch(&mut self, node: &Node<'_>, depth: usize) -> Result<Option<Vec<Value>>, Error> {
        let condition = node.constant(&self.builder, 0)?;
        let taken = condition
            .and_then(|c| c.data.first().copied())
            .is_some_and(|n| n.holds());
        let name = if taken { "then_branch" } else { "else_branch" };
        let attributes = &node.proto.attribute;
        let branch = attributes.iter().find(|a| a.name == name);
        let branch = branch.and_then(|a| a.g.as_deref());
        let branch = branch.ok_or_else(|| Error::corrupt(format!("it has no {name}")))?;
        if depth >= MAX_DEPTH {
            return Err(too_large());
        }
        for initializer in &branch.initializer {
            let value = self.builder.constant(initializer)?;
            self.define(&initializer.name, value);
        }
        for sparse in &branch.sparse_initializer {
            let value = self.builder.sparse_constant(sparse)?;
            self.define(sparse.name(), value);
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
fn bound(node: &NodeProto, function: &FunctionProto, call: &NodeProto) -> Vec<AttributeProto> {
    let fill = |attribute: &AttributeProto| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::attribute_type;
    use odin_graph::{Array, Shape, Type, interpret};

    /// Positions that were taken together stay in order through operators that change the shape:
    /// `y[n, l] = x[n, 2l + 1]`, picked while the rows of all images lie side by side.
    #[test]
    fn rows_side_by_side_come_back_in_order() {
        let ints = |name: &str, dims: &[i64], data: &[i64]| TensorProto {
            name: name.to_string(),
            dims: dims.to_vec(),
            data_type: crate::onnx::proto::data_type::INT64,
            int64_data: data.to_vec(),
            ..TensorProto::default()
        };
        let node =
            |op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| NodeProto {
                op_type: op.to_string(),
                input: inputs.iter().map(|i| i.to_string()).collect(),
                output: vec![output.to_string()],
                attribute,
                ..NodeProto::default()
            };
        let perm = |ints: &[i64]| AttributeProto {
            name: "perm".to_string(),
            r#type: attribute_type::INTS,
            ints: ints.to_vec(),
            ..AttributeProto::default()
        };
        let axis = AttributeProto {
            name: "axis".to_string(),
            r#type: attribute_type::INT,
            i: 1,
            ..AttributeProto::default()
        };
        let graph = GraphProto {
            initializer: vec![
                ints("apart", &[3], &[-1, 3, 2]),
                ints("rows", &[2], &[-1, 2]),
                ints("second", &[], &[1]),
                ints("back", &[2], &[3, -1]),
            ],
            ..GraphProto::default()
        };
        let nodes = [
            node("Reshape", &["x", "apart"], "a", vec![]),
            node("Transpose", &["a"], "b", vec![perm(&[1, 0, 2])]),
            node("Reshape", &["b", "rows"], "c", vec![]),
            node("Gather", &["c", "second"], "d", vec![axis]),
            node("Reshape", &["d", "back"], "e", vec![]),
            node("Transpose", &["e"], "y", vec![perm(&[1, 0])]),
        ];
        let weights = Weights::of(&graph.initializer);
        let mut importer = Importer::new(&graph, &[], &weights, 17, None, 1000);
        let x = Type::float(Shape::batched(&[6]));
        let x = importer.builder.graph.input("x", x).unwrap();
        importer.define("x", Value::Node(x));
        importer.nodes(&nodes, 0);
        importer.check().unwrap();
        let Value::Node(y) = importer.value("y").unwrap() else {
            panic!("it depends on the input");
        };
        assert!(importer.builder.is_in_order(y));
        importer.builder.graph.output("y", y);
        let images = Array::new(vec![2, 6], (0..12).map(f64::from).collect());
        let found = interpret(&importer.builder.graph, &[("x", images)]).unwrap();
        assert_eq!(found[0].floats(), [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
        assert_eq!(found[0].array().shape(), [2, 3]);
    }
}
