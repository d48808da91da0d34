//! Writes the nodes of a graph, one after the other.

use super::encoder::{Encoder, InputType};
use super::form::Form;
use crate::Error;
use crate::onnx::photo::PREPARED;
use crate::onnx::proto::{NodeProto, TensorProto, data_type};
use odin_graph::{Op, ValueId};

/// The body of a file.
pub(super) struct Encoded {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<TensorProto>,
}

impl Encoder<'_> {
    pub(super) fn encode(mut self) -> Result<Encoded, Error> {
        for value in self.graph.values() {
            match &self.graph.node(value).op {
                Op::Input(input) => self.input(value, &input.name),
                Op::Constant(_) => {} // stored when first read, named after its reader
                _ => self.computed(value)?,
            }
        }
        for output in self.graph.outputs() {
            if self.values[output.value.index()].as_ref() != Some(&output.name) {
                let source = match self.graph.constant_value(output.value) {
                    Some(tensor) => self.constant(tensor, &format!("{}/value", output.name)),
                    None => self.value(output.value),
                };
                self.push(Form::new("Identity").input(source), &output.name);
            }
        }
        Ok(Encoded {
            nodes: self.nodes,
            initializers: self.initializers,
        })
    }

    fn input(&mut self, value: ValueId, name: &str) {
        let real = match self.input {
            InputType::Float => name.to_string(),
            InputType::Photo(photo) => {
                let own = photo.nodes(name);
                self.nodes.extend(own.nodes);
                self.initializers.extend(own.initializers);
                PREPARED.to_string()
            }
            InputType::Byte => {
                let cast = Form::new("Cast").input(name);
                let cast = cast.int("to", data_type::FLOAT.into());
                self.add(cast, &format!("{name}/Cast"))
            }
        };
        self.values[value.index()] = Some(real);
    }

    fn computed(&mut self, value: ValueId) -> Result<(), Error> {
        let node_name = self.node_name(value);
        let form = self.form(value, &node_name)?;
        let asked_for = self.graph.outputs().iter().find(|o| o.value == value);
        let name = match asked_for {
            Some(output) => output.name.clone(),
            None => node_name.clone(),
        };
        self.nodes.push(form.into_node(node_name, name.clone()));
        self.values[value.index()] = Some(name);
        Ok(())
    }

    /// Such as `block1.conv/Conv`.
    fn node_name(&mut self, value: ValueId) -> String {
        let node = self.graph.node(value);
        let operator = node.op.name();
        match node.origin.as_str() {
            "" => self.names.unique(operator),
            origin if origin.ends_with(operator) => self.names.unique(origin),
            origin => self.names.unique(&format!("{origin}/{operator}")),
        }
    }
}
