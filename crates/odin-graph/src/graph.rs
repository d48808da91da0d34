//! The graph: nodes in static single assignment form, and the values that are its outputs.

use crate::infer::infer;
use crate::op::Input;
use crate::{Budget, Error, ErrorKind, Op, Shape, Tensor, Type};
use std::fmt;

/// A value of a graph: the result of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(u32);

impl ValueId {
    /// The position of the node that computes this value, in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// One computation: an operator, its operands, and the type of its output.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The operator.
    pub op: Op,
    /// The values it is applied to, all computed by earlier nodes.
    pub operands: Vec<ValueId>,
    /// Element type and shape of the output.
    pub ty: Type,
    /// The layer of the model that the node comes from, as its file names it, for messages.
    pub origin: String,
}

/// A named output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The name.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// A graph in static single assignment form: nodes in topological order.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    origin: String,
    budget: Budget,
}

/// Graphs are equal that compute the same, whatever may still be made of them.
impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.outputs == other.outputs
    }
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph without nodes of which no more than a budget may be made.
    pub fn with_budget(budget: Budget) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    /// What may still be made of the graph.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// As [`Graph::budget`], to spend from.
    pub fn budget_mut(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// Sets the origin of the nodes added from now on, for messages.
    pub fn at(&mut self, origin: impl Into<String>) -> &mut Self {
        self.origin = origin.into();
        self
    }

    /// Appends a node.
    ///
    /// # Errors
    /// If the operands do not fit the operator; the message names the origin, the operator and the
    /// types of the operands.
    pub fn add(&mut self, op: Op, operands: &[ValueId]) -> Result<ValueId, Error> {
        if let Some(unknown) = operands.iter().find(|v| v.index() >= self.nodes.len()) {
            return Err(Error::new(
                ErrorKind::InvalidGraph,
                format!("{}: there is no value {unknown} yet", op.name()),
            ));
        }
        let types: Vec<&Type> = operands.iter().map(|&v| self.ty(v)).collect();
        let ty = infer(&op, &types)
            .map_err(|reason| invalid_node(&self.origin, &op, &types, &reason))?;
        let id = u32::try_from(self.nodes.len())
            .map_err(|_| Error::new(ErrorKind::InvalidGraph, "the graph has too many nodes"))?;
        self.nodes.push(Node {
            op,
            operands: operands.to_vec(),
            ty,
            origin: self.origin.clone(),
        });
        Ok(ValueId(id))
    }

    /// Adds an input.
    ///
    /// # Errors
    /// If the graph has an input of this name already.
    pub fn input(&mut self, name: &str, ty: Type) -> Result<ValueId, Error> {
        if self.inputs().any(|(_, input)| input.name == name) {
            return Err(Error::new(
                ErrorKind::InvalidGraph,
                format!("there are two inputs named {name:?}"),
            ));
        }
        let name = name.to_string();
        self.add(Op::Input(Input { name, ty }), &[])
    }

    /// Gives every input another name; those that `rename` gives none for keep theirs. The names
    /// must stay different from each other.
    pub(crate) fn rename_inputs(&mut self, rename: impl Fn(&str) -> Option<String>) {
        for node in &mut self.nodes {
            if let Op::Input(input) = &mut node.op
                && let Some(name) = rename(&input.name)
            {
                input.name = name;
            }
        }
    }

    /// Adds a constant.
    ///
    /// # Errors
    /// If the graph has too many nodes.
    pub fn constant(&mut self, tensor: Tensor) -> Result<ValueId, Error> {
        self.add(Op::Constant(tensor), &[])
    }

    /// Adds a named output.
    pub fn output(&mut self, name: impl Into<String>, value: ValueId) {
        let name = name.into();
        self.outputs.push(Output { name, value });
    }

    /// Removes all outputs.
    pub fn clear_outputs(&mut self) {
        self.outputs.clear();
    }

    /// All nodes in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that computes a value.
    ///
    /// # Panics
    /// If the value belongs to another graph.
    pub fn node(&self, value: ValueId) -> &Node {
        &self.nodes[value.index()]
    }

    /// Element type and shape of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        &self.node(value).ty
    }

    /// The shape of a value.
    pub fn shape(&self, value: ValueId) -> &Shape {
        &self.ty(value).shape
    }

    /// The outputs, in the order in which they were added.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The inputs, in the order in which they were added.
    pub fn inputs(&self) -> impl Iterator<Item = (ValueId, &Input)> {
        self.values().filter_map(|v| match &self.node(v).op {
            Op::Input(input) => Some((v, input)),
            _ => None,
        })
    }

    /// All values in topological order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = ValueId> + use<> {
        (0..self.nodes.len()).map(ValueId::from_index)
    }

    /// The data of a constant.
    pub fn constant_value(&self, value: ValueId) -> Option<&Tensor> {
        match &self.node(value).op {
            Op::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The description of a value's node in messages: its origin, operator and number.
    pub fn describe(&self, value: ValueId) -> String {
        let node = self.node(value);
        match node.origin.as_str() {
            "" => format!("{} ({value})", node.op.name()),
            origin => format!("{origin}: {} ({value})", node.op.name()),
        }
    }

    /// Copies the part of the graph between `input` and `output` with `replacement` in place of
    /// `input`, and returns the copy of `output`.
    ///
    /// # Errors
    /// If the replacement's type is not the input's.
    pub fn replay(
        &mut self,
        output: ValueId,
        input: ValueId,
        replacement: ValueId,
    ) -> Result<ValueId, Error> {
        let needed = self.needed_for([output]);
        let depends = self.depends_on(input);
        let mut copy: Vec<ValueId> = self.values().collect();
        copy[input.index()] = replacement;
        for i in input.index() + 1..=output.index() {
            if needed[i] && depends[i] {
                let node = self.nodes[i].clone();
                let operands: Vec<ValueId> =
                    node.operands.iter().map(|v| copy[v.index()]).collect();
                copy[i] = self.at(node.origin).add(node.op, &operands)?;
            }
        }
        Ok(copy[output.index()])
    }
}

pub(crate) fn invalid_node(origin: &str, op: &Op, operands: &[&Type], reason: &str) -> Error {
    let types: Vec<String> = operands.iter().map(|ty| ty.to_string()).collect();
    let place = match origin {
        "" => op.name().to_string(),
        origin => format!("{origin}: {}", op.name()),
    };
    Error::new(
        ErrorKind::InvalidNode,
        format!("{place} of ({}): {reason}", types.join(", ")),
    )
}

impl fmt::Display for Graph {
    /// One line per node, without constants.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for value in self.values() {
            let node = self.node(value);
            let operands: Vec<String> = node.operands.iter().map(|v| v.to_string()).collect();
            let name = node.op.name();
            match &node.op {
                Op::Constant(_) => continue,
                Op::Input(input) => writeln!(f, "{value}: {} = Input {:?}", node.ty, input.name)?,
                _ => writeln!(f, "{value}: {} = {name}({})", node.ty, operands.join(", "))?,
            }
        }
        for output in &self.outputs {
            writeln!(f, "output {:?} = {}", output.name, output.value)?;
        }
        Ok(())
    }
}
