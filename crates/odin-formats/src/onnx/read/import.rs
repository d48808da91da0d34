//! Imports the nodes of a file into a graph: resolves names, inlines functions, takes branches,
//! evaluates constants.

use super::builder::{Builder, Value};
use super::node::{Node, Settings, label};
use super::ops;
use super::tensor::Weights;
use crate::Error;
use crate::onnx::proto::{FunctionProto, GraphProto, NodeProto, SparseTensorProto, TensorProto};
use odin_error::shown;
use odin_graph::ValueId;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// How deep functions and branches may lie inside of each other.
const MAX_DEPTH: usize = 16;

/// Failures that are kept to be told.
const SHOWN: usize = 20;

/// The most bytes of a layer's name, and of a failure, that are kept.
const LONGEST_PLACE: usize = 256;
const LONGEST_FAILURE: usize = 1024;

/// What a node of a file takes when it is read, beside its names, and what one of the graph does:
/// bytes that are spent for each.
type Visit = [u8; 256];
type Link = [u8; 32];
type Added = [u8; 512];

/// A file on its way to become a graph. Nothing of the file is copied: functions are read where they
/// are, each call with a scope of its own.
pub(super) struct Importer<'a> {
    pub(super) builder: Builder<'a>,
    initializers: HashMap<&'a str, (usize, &'a TensorProto)>,
    sparse: HashMap<&'a str, &'a SparseTensorProto>,
    weights: &'a Weights,
    /// The element types of constants of the main graph.
    types: HashMap<&'a str, i32>,
    functions: HashMap<(&'a str, &'a str), &'a FunctionProto>,
    opset: i64,
    /// That of the file, and those of the calls that are being read.
    scopes: Vec<Scope<'a>>,
    failures: Failures,
}

/// What names stand for in the file, or inside of a call of a function.
#[derive(Default)]
struct Scope<'a> {
    /// `None` for an operand that the call leaves out.
    names: HashMap<&'a str, Option<Value>>,
    /// Names that failed nodes would have given.
    failed: HashSet<&'a str>,
    settings: Settings<'a>,
    /// The name of the call, with a slash behind it.
    prefix: String,
}

/// The first failures, and how many there are.
#[derive(Default)]
struct Failures {
    first: Vec<Failure>,
    count: usize,
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
            initializers: initializers
                .map(|(i, t)| (t.name.as_str(), (i, t)))
                .collect(),
            sparse: sparse.map(|s| (s.name(), s)).collect(),
            weights,
            types: types(graph),
            functions: functions
                .map(|f| ((f.domain.as_str(), f.name.as_str()), f))
                .collect(),
            opset,
            scopes: vec![Scope::default()],
            failures: Failures::default(),
        }
    }

    pub(super) fn define(&mut self, name: &'a str, value: Value) {
        self.scope().names.insert(name, Some(value));
    }

    fn scope(&mut self) -> &mut Scope<'a> {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    /// Reads nodes in the order of the file, and goes on where one cannot be read.
    pub(super) fn nodes(&mut self, nodes: impl IntoIterator<Item = &'a NodeProto>, depth: usize) {
        for proto in nodes {
            let outputs = proto.output.iter().map(String::as_str);
            let named = outputs.clone().filter(|name| !name.is_empty());
            match self.node(proto, depth) {
                Ok(Some(values)) => {
                    for (name, value) in outputs.zip(values) {
                        self.define(name, value);
                    }
                }
                Ok(None) => self.scope().failed.extend(named),
                Err(error) => {
                    self.scope().failed.extend(named);
                    let prefix = &self.scope().prefix;
                    let node = label(proto, prefix);
                    self.failures.add(node, error);
                }
            }
        }
    }

    /// Counts what a node takes, however often a function is called.
    fn visit(&mut self, proto: &NodeProto) -> Result<(), Error> {
        let names = proto.input.iter().chain(&proto.output);
        let bytes = names.clone().map(String::len).sum::<usize>()
            + [&proto.name, &proto.op_type]
                .map(String::len)
                .iter()
                .sum::<usize>();
        self.builder.spend::<Visit>(1)?;
        self.builder
            .spend::<Link>(names.count() + proto.attribute.len())?;
        self.builder.spend::<u8>(bytes)
    }

    /// What a node gives; `None` when it reads what a failed node would have given.
    fn node(&mut self, proto: &'a NodeProto, depth: usize) -> Result<Option<Vec<Value>>, Error> {
        self.visit(proto)?;
        let function = self
            .functions
            .get(&(&proto.domain[..], &proto.op_type[..]))
            .copied();
        let operator = ops::find(&proto.domain, &proto.op_type);
        // Before the check of what it reads, so that all unknown operators are named at once.
        if function.is_none() && operator.is_none() {
            return Err(unknown_operator(proto));
        }
        let failed = &self.scope().failed;
        if proto.input.iter().any(|name| failed.contains(&name[..])) {
            return Ok(None);
        }
        let inputs = proto.input.iter().map(|name| self.operand(name));
        let inputs: Vec<Option<Value>> = inputs.collect::<Result<_, _>>()?;
        if let Some(function) = function {
            return self.call(function, proto, inputs, depth);
        }
        let operator = operator.ok_or_else(|| unknown_operator(proto))?;
        let place = place(proto, &self.scope().prefix);
        self.builder.graph.at(place);
        let Some(scope) = self.scopes.last() else {
            return Ok(None);
        };
        let node = Node {
            inputs,
            proto,
            settings: &scope.settings,
            // Names inside of functions are others.
            types: Some(&self.types).filter(|_| self.scopes.len() == 1),
            opset: self.opset,
        };
        if operator.is_branch() {
            let branch = taken(&self.builder, &node, proto, &scope.settings)?;
            return self.branch(branch, depth);
        }
        let before = self.builder.graph.nodes().len();
        let values = operator.read(&mut self.builder, &node)?;
        let added = self.builder.graph.nodes().len() - before;
        self.builder.spend::<Added>(added)?;
        Ok(Some(values))
    }

    /// The value of an operand; `None` where it is left out.
    fn operand(&mut self, name: &'a str) -> Result<Option<Value>, Error> {
        if name.is_empty() {
            return Ok(None);
        }
        if let Some(value) = self.scope().names.get(name) {
            return Ok(value.clone());
        }
        let in_file = self.scopes.len() == 1;
        let dense = self.initializers.get(name).filter(|_| in_file);
        let sparse = self.sparse.get(name).filter(|_| in_file);
        let value = match (dense, sparse) {
            (Some(&(i, dense)), _) => self.builder.initializer(self.weights, i, dense),
            (None, Some(sparse)) => self.builder.sparse_constant(sparse),
            (None, None) => {
                return Err(Error::corrupt(format!(
                    "its input {:?} is not the output of any node",
                    shown(name)
                )));
            }
        };
        let value = value.map_err(|e| e.about(format_args!("initializer {:?}", shown(name))))?;
        self.define(name, value.clone());
        Ok(Some(value))
    }

    /// The value of a name.
    pub(super) fn value(&mut self, name: &'a str) -> Result<Value, Error> {
        let value = self.operand(name)?;
        value.ok_or_else(|| Error::corrupt(format!("{:?} is left out", shown(name))))
    }

    /// The value of an output of the file.
    pub(super) fn output(&mut self, name: &'a str) -> Result<ValueId, Error> {
        let value = self.value(name)?;
        let value = self.builder.node_of(&value)?;
        match self.builder.is_in_order(value) {
            true => Ok(value),
            false => Err(Error::unsupported(format!(
                "the output {name:?} mixes the images of a batch"
            ))),
        }
    }

    /// The nodes of a branch that is taken.
    fn branch(
        &mut self,
        branch: &'a GraphProto,
        depth: usize,
    ) -> Result<Option<Vec<Value>>, Error> {
        if depth >= MAX_DEPTH {
            return Err(too_deep());
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
    fn results(
        &mut self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Option<Vec<Value>>, Error> {
        let failed = &self.scope().failed;
        if names.clone().any(|name| failed.contains(name)) {
            return Ok(None);
        }
        names
            .map(|name| self.value(name))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A function of the file: its nodes in a scope of their own, with the settings of the call.
    fn call(
        &mut self,
        function: &'a FunctionProto,
        call: &'a NodeProto,
        operands: Vec<Option<Value>>,
        depth: usize,
    ) -> Result<Option<Vec<Value>>, Error> {
        if depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let signature = [&function.input, &function.output].map(Vec::len);
        let links = signature[0] + signature[1] + function.attribute_proto.len();
        self.builder.spend::<Link>(links)?;
        let formal = function.input.iter().map(String::as_str);
        let given = operands.into_iter().chain(std::iter::repeat(None));
        let outer = self.scope();
        let scope = Scope {
            names: formal.zip(given).collect(),
            failed: HashSet::new(),
            settings: Settings::of(call, function, &outer.settings),
            prefix: match call.name.as_str() {
                "" => outer.prefix.clone(),
                name => beginning(
                    &format!("{}{}/", outer.prefix, beginning(name, LONGEST_PLACE)),
                    LONGEST_PLACE,
                )
                .to_string(),
            },
        };
        let own = function.opset_import.iter().find(|o| o.domain.is_empty());
        let opset = own.map_or(self.opset, |o| o.version);
        let outer_opset = std::mem::replace(&mut self.opset, opset);
        self.scopes.push(scope);
        self.nodes(&function.node, depth + 1);
        let results = self.results(function.output.iter().map(String::as_str));
        self.scopes.pop();
        self.opset = outer_opset;
        results
    }

    /// All that went wrong, in one message.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Failures { first, count } = &self.failures;
        let Some(Failure { error, .. }) = first.first() else {
            return Ok(());
        };
        let line = |f: &Failure| {
            let line = format!("  {}: {}", f.node, f.error);
            match beginning(&line, LONGEST_FAILURE) {
                whole if whole.len() == line.len() => line,
                begun => format!("{begun}…"),
            }
        };
        let lines: Vec<String> = first.iter().map(line).collect();
        let more = match count - first.len() {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        let nodes = if *count == 1 { "node" } else { "nodes" };
        let message = format!(
            "{count} {nodes} cannot be read:\n{}{more}",
            lines.join("\n")
        );
        Err(Error::new(error.kind(), message))
    }
}

fn types(graph: &GraphProto) -> HashMap<&str, i32> {
    let stored = graph.initializer.iter();
    let stored = stored.map(|tensor| (&tensor.name[..], tensor.data_type));
    let nodes = graph.node.iter().filter_map(|node| {
        let value = node.attribute.iter().find(|a| a.name == "value")?;
        Some((&node.output.first()?[..], value.t.as_ref()?.data_type))
    });
    stored.chain(nodes).collect()
}

impl Failures {
    fn add(&mut self, node: String, error: Error) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(Failure { node, error });
        }
    }
}

/// The layer that a node is, for messages: its name, or that of what it gives.
fn place(proto: &NodeProto, prefix: &str) -> String {
    let own = match proto.name.as_str() {
        "" => proto.output.first().map_or("", String::as_str),
        name => name,
    };
    let place = format!("{prefix}{}", beginning(own, LONGEST_PLACE));
    beginning(&place, LONGEST_PLACE).to_string()
}

/// As much of a text as fits into so many bytes.
fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Of `If`, whose condition is known, the branch that is taken.
fn taken<'a>(
    builder: &Builder<'_>,
    node: &Node<'_>,
    proto: &'a NodeProto,
    settings: &Settings<'a>,
) -> Result<&'a GraphProto, Error> {
    let condition = node.constant(builder, 0)?;
    let taken = condition
        .and_then(|c| c.data.first().copied())
        .is_some_and(|n| n.holds());
    let name = if taken { "then_branch" } else { "else_branch" };
    let attributes = &proto.attribute;
    let branch = attributes.iter().find(|a| a.name == name);
    let branch = branch.and_then(|a| settings.resolve(a)?.g.as_deref());
    branch.ok_or_else(|| Error::corrupt(format!("it has no {name}")))
}

fn unknown_operator(proto: &NodeProto) -> Error {
    let domain = match proto.domain.as_str() {
        "" | "ai.onnx" => String::new(),
        domain => format!(" of {:?}", shown(domain)),
    };
    let why = match proto.op_type.as_str() {
        "TreeEnsemble" | "TreeEnsembleClassifier" | "TreeEnsembleRegressor" => {
            ": decision trees are constant but for steps, they have neither logits nor a gradient that ODIN could use"
        }
        "SVMClassifier" => ": of scikit-learn's classifiers the linear ones and networks are read",
        "ConvInteger"
        | "DynamicQuantizeLinear"
        | "MatMulInteger"
        | "QLinearConv"
        | "QLinearMatMul" => {
            ": it computes with integers, which have no gradient; give the file as it was before it was quantised, or quantise it to QuantizeLinear and DequantizeLinear (QDQ)"
        }
        _ => "",
    };
    Error::unsupported(format!(
        "the operator {}{domain} is not supported{why}",
        shown(&proto.op_type)
    ))
}

fn too_deep() -> Error {
    Error::unsupported(format!(
        "functions and branches lie deeper than {MAX_DEPTH} inside of each other"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{AttributeProto, attribute_type};
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
        let weights = Weights::of(&graph.initializer, &[]);
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
