//! The table entry of an ONNX operator: how it becomes part of a graph, and how it is evaluated on
//! constants.

use super::builder::{Builder, Value};
use super::const_value::ConstValue;
use super::node::Node;
use super::number::Number;
use crate::Error;
use odin_graph::ValueId;
use std::sync::Arc;

/// The result of importing a node.
pub(super) type Read = Result<Vec<Value>, Error>;

/// Evaluates an operator on constants; `None` where the node is to become part of the graph.
pub(super) type Evaluated = Result<Option<ConstValue>, Error>;

/// The same of an operator that moves elements, which may give several parts.
pub(super) type Moved = Result<Option<Vec<ConstValue>>, Error>;

type Build = fn(&mut Builder<'_>, &Node<'_>) -> Read;
type Move = fn(&mut Builder<'_>, &Node<'_>, &ConstValue) -> Moved;
type Compute = fn(&mut Builder<'_>, &Node<'_>, &[ConstValue]) -> Evaluated;

/// An operator of the ONNX standard.
pub(super) struct Operator {
    pub(super) name: &'static str,
    graph: InGraph,
    constants: OnConstants,
}

/// What becomes of a node that is not evaluated.
enum InGraph {
    /// It becomes part of the graph.
    Build(Build),
    /// It gives constants: it asks for the shapes of its operands, or for constants itself.
    ShapeValues(Build),
    /// It is refused.
    Refuse,
    /// A branch is taken.
    Branch,
}

/// How an operator is evaluated.
enum OnConstants {
    Never,
    /// Of its first operand, if that is constant; the others say how. It moves elements.
    First(Move),
    /// Of all operands, if they are constant and not all of them constants of the graph.
    All(Compute),
    /// Of all operands, if they are constant.
    Known(Compute),
}

/// An operator that becomes part of the graph.
pub(super) const fn operator(name: &'static str, build: Build) -> Operator {
    Operator {
        name,
        graph: InGraph::Build(build),
        constants: OnConstants::Never,
    }
}

/// An operator that is supported for shapes and other constants.
pub(super) const fn constants_only(name: &'static str, compute: Compute) -> Operator {
    Operator {
        name,
        graph: InGraph::Refuse,
        constants: OnConstants::Known(compute),
    }
}

/// An operator that gives shapes and other constants, whatever its operands are.
pub(super) const fn shape_values(name: &'static str, build: Build) -> Operator {
    Operator {
        name,
        graph: InGraph::ShapeValues(build),
        constants: OnConstants::Never,
    }
}

/// The operator that takes one of its branches.
pub(super) const fn branch(name: &'static str) -> Operator {
    Operator {
        name,
        graph: InGraph::Branch,
        constants: OnConstants::Never,
    }
}

impl Operator {
    /// The same operator, evaluated of its first operand.
    pub(super) const fn of_first(mut self, evaluate: Move) -> Self {
        self.constants = OnConstants::First(evaluate);
        self
    }

    /// The same operator, evaluated of all operands.
    pub(super) const fn of_all(mut self, evaluate: Compute) -> Self {
        self.constants = OnConstants::All(evaluate);
        self
    }

    /// The same operator, evaluated of all operands also where they are constants of the graph: its
    /// result says what a branch or a shape is.
    pub(super) const fn of_known(mut self, evaluate: Compute) -> Self {
        self.constants = OnConstants::Known(evaluate);
        self
    }

    /// Whether only constants may go through it.
    #[cfg(test)]
    pub(super) fn is_constants_only(&self) -> bool {
        !matches!(self.graph, InGraph::Build(_))
    }

    /// Whether it takes one of its branches.
    pub(super) fn is_branch(&self) -> bool {
        matches!(self.graph, InGraph::Branch)
    }

    /// What a node of this operator gives.
    pub(super) fn read(&self, builder: &mut Builder<'_>, node: &Node<'_>) -> Read {
        let values = match (self.evaluate(builder, node)?, &self.graph) {
            (Some(values), _) => values.into_iter().map(constant).collect(),
            (None, InGraph::Build(build)) => return build(builder, node),
            (None, InGraph::ShapeValues(build)) => build(builder, node)?,
            (None, InGraph::Refuse | InGraph::Branch) => {
                return Err(Error::unsupported(format!(
                    "{} is supported for shapes and other constants only, here an operand depends on the input",
                    self.name
                )));
            }
        };
        for value in &values {
            if let Value::Const(value) = value {
                builder.spend::<Number>(value.data.len() + value.shape.len())?;
            }
        }
        Ok(values)
    }

    fn evaluate(&self, builder: &mut Builder<'_>, node: &Node<'_>) -> Moved {
        match self.constants {
            OnConstants::Never => Ok(None),
            OnConstants::First(evaluate) => match node.optional(0) {
                Some(Value::Const(x)) => evaluate(builder, node, x),
                _ => Ok(None),
            },
            OnConstants::All(evaluate) | OnConstants::Known(evaluate) => {
                let operands = node.inputs.iter().flatten();
                let any = operands.clone().any(|v| matches!(v, Value::Const(_)));
                if !any && matches!(self.constants, OnConstants::All(_)) {
                    return Ok(None);
                }
                let counts = operands.clone().map(|v| builder.const_len(v));
                let count = counts.fold(0, usize::saturating_add);
                builder.spend::<Number>(count)?;
                let operands = operands.map(|v| builder.const_of(v));
                let operands = operands.map(|x| x.map(Arc::unwrap_or_clone));
                let Some(operands) = operands.collect::<Option<Vec<ConstValue>>>() else {
                    return Ok(None);
                };
                let value = evaluate(builder, node, &operands)?;
                Ok(value.map(|value| vec![value]))
            }
        }
    }
}

fn constant(value: ConstValue) -> Value {
    Value::Const(Arc::new(value))
}

/// A single value of the graph.
pub(super) fn one(value: ValueId) -> Read {
    Ok(vec![Value::Node(value)])
}

/// A single constant.
pub(super) fn one_constant(value: ConstValue) -> Moved {
    Ok(Some(vec![value]))
}
