//! One node of a file: its operands and attributes.

use super::builder::{Builder, Value};
use super::const_value::{ConstValue, check_rank};
use crate::Error;
use crate::onnx::proto::{
    AttributeProto, FunctionProto, NodeProto, SparseTensorProto, TensorProto, attribute_type,
};
use odin_error::shown;
use odin_graph::ValueId;
use std::collections::HashMap;
use std::sync::Arc;

/// The attributes of a call of a function, by the names under which its nodes refer to them.
#[derive(Debug, Default)]
pub(super) struct Settings<'a>(HashMap<&'a str, &'a AttributeProto>);

impl<'a> Settings<'a> {
    /// Those of a call in surroundings that have settings of their own.
    pub(super) fn of(call: &'a NodeProto, function: &'a FunctionProto, outer: &Self) -> Self {
        let default = function.attribute_proto.iter().map(|a| (&a.name[..], a));
        let mut settings: HashMap<_, _> = default.collect();
        let given = call.attribute.iter();
        settings.extend(given.filter_map(|a| Some((&a.name[..], outer.resolve(a)?))));
        Self(settings)
    }

    /// The attribute itself, or the one that it refers to, where there is one.
    pub(super) fn resolve(&self, attribute: &'a AttributeProto) -> Option<&'a AttributeProto> {
        match attribute.ref_attr_name.as_str() {
            "" => Some(attribute),
            name => self.0.get(name).copied(),
        }
    }
}

/// A node whose operands have been read.
pub(super) struct Node<'a> {
    pub(super) proto: &'a NodeProto,
    /// What attributes that are references refer to.
    pub(super) settings: &'a Settings<'a>,
    /// `None` where an optional operand is left out.
    pub(super) inputs: Vec<Option<Value>>,
    /// The element types of constants by name, where names are those of the main graph.
    pub(super) types: Option<&'a HashMap<&'a str, i32>>,
    /// The version of the operators that the node is written in.
    pub(super) opset: i64,
}

impl Node<'_> {
    /// An operand that must be there.
    pub(super) fn input(&self, i: usize) -> Result<&Value, Error> {
        self.optional(i)
            .ok_or_else(|| Error::corrupt(format!("operand {i} is missing")))
    }

    pub(super) fn optional(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i)?.as_ref()
    }

    /// The element type of an operand that the file stores as it is.
    pub(super) fn element_type(&self, i: usize) -> Option<i32> {
        let name = self.proto.input.get(i)?.as_str();
        self.types?.get(name).copied()
    }

    /// An operand as a value of the graph.
    pub(super) fn value(&self, builder: &mut Builder<'_>, i: usize) -> Result<ValueId, Error> {
        builder.node_of(self.input(i)?)
    }

    /// An operand as a value of the graph, if it is there.
    pub(super) fn optional_value(
        &self,
        builder: &mut Builder<'_>,
        i: usize,
    ) -> Result<Option<ValueId>, Error> {
        let input = self.optional(i);
        input.map(|value| builder.node_of(value)).transpose()
    }

    /// An operand that must be a constant, if it is there.
    pub(super) fn constant(
        &self,
        builder: &Builder<'_>,
        i: usize,
    ) -> Result<Option<Arc<ConstValue>>, Error> {
        let Some(input) = self.optional(i) else {
            return Ok(None);
        };
        builder.const_of(input).map(Some).ok_or_else(|| {
            Error::unsupported(format!(
                "operand {i} must be a constant, it is computed from the input"
            ))
        })
    }

    pub(super) fn constant_ints(
        &self,
        builder: &Builder<'_>,
        i: usize,
    ) -> Result<Option<Vec<i64>>, Error> {
        let constant = self.constant(builder, i)?;
        constant.map(|constant| constant.ints()).transpose()
    }

    /// The attribute of a name; of a reference, what it refers to.
    pub(super) fn find(&self, name: &str) -> Option<&AttributeProto> {
        let own = self.proto.attribute.iter().find(|a| a.name == name)?;
        self.settings.resolve(own)
    }

    fn attribute(&self, name: &str, r#type: i32) -> Result<Option<&AttributeProto>, Error> {
        match self.find(name) {
            // Files from before the field existed have 0.
            Some(a) if a.r#type != r#type && a.r#type != 0 => Err(Error::corrupt(format!(
                "attribute {name:?} has type number {}, not {}",
                a.r#type, r#type
            ))),
            found => Ok(found),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, Error> {
        let found = self.attribute(name, attribute_type::INT)?;
        Ok(found.map_or(default, |a| a.i))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, Error> {
        let found = self.attribute(name, attribute_type::FLOAT)?;
        Ok(found.map_or(default, |a| a.f))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Error> {
        let found = self.attribute(name, attribute_type::INTS)?;
        Ok(found.map(|a| a.ints.clone()))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, Error> {
        let found = self.attribute(name, attribute_type::FLOATS)?;
        Ok(found.map(|a| a.floats.clone()))
    }

    pub(super) fn text(&self, name: &str, default: &str) -> Result<String, Error> {
        let found = self.attribute(name, attribute_type::STRING)?;
        Ok(found.map_or(default.to_string(), |a| {
            String::from_utf8_lossy(&a.s).into_owned()
        }))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&TensorProto>, Error> {
        let found = self.attribute(name, attribute_type::TENSOR)?;
        Ok(found.and_then(|a| a.t.as_deref()))
    }

    pub(super) fn sparse_tensor(&self, name: &str) -> Result<Option<&SparseTensorProto>, Error> {
        let found = self.attribute(name, attribute_type::SPARSE_TENSOR)?;
        Ok(found.and_then(|a| a.sparse_tensor.as_deref()))
    }

    /// Integers that older versions have as an attribute and newer ones as an operand.
    pub(super) fn ints_or_input(
        &self,
        builder: &Builder<'_>,
        name: &str,
        i: usize,
    ) -> Result<Option<Vec<i64>>, Error> {
        match self.ints(name)? {
            Some(ints) => Ok(Some(ints)),
            None => self.constant_ints(builder, i),
        }
    }
}

/// What failures call a node; `prefix` is the call of a function that it belongs to.
pub(super) fn label(proto: &NodeProto, prefix: &str) -> String {
    let op = shown(&proto.op_type);
    match (proto.name.as_str(), proto.output.first()) {
        ("", Some(output)) => format!("{op} (gives {:?})", shown(output)),
        ("", None) => op,
        (name, _) => format!("{op} {:?}", shown(&format!("{prefix}{name}"))),
    }
}

/// An axis that may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Error> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| Error::corrupt(format!("there is no axis {axis} among {rank}")))
}

/// A place between axes, the one after the last included.
pub(super) fn boundary(at: i64, rank: usize) -> Result<usize, Error> {
    match at == rank as i64 {
        true => Ok(rank),
        false => axis(at, rank),
    }
}

pub(super) fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, Error> {
    check_rank(given.len().max(rank))?;
    let mut axes: Vec<usize> = given
        .iter()
        .map(|&a| axis(a, rank))
        .collect::<Result<_, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    match axes.len() == given.len() {
        true => Ok(axes),
        false => Err(Error::corrupt(format!(
            "an axis is named twice in {given:?}"
        ))),
    }
}

/// Extents, strides and the like: numbers from 0.
pub(super) fn sizes(ints: &[i64], what: &str) -> Result<Vec<usize>, Error> {
    let size = |&i: &i64| {
        usize::try_from(i).map_err(|_| Error::unsupported(format!("{what} {ints:?} are negative")))
    };
    ints.iter().map(size).collect()
}
