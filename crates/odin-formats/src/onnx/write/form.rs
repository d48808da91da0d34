//! The ONNX form of a node: operator, inputs and attributes.

use crate::onnx::proto::{AttributeProto, NodeProto, attribute_type};
use odin_graph::op::Window;

/// A node but for its name and output.
pub(super) struct Form {
    operator: &'static str,
    inputs: Vec<String>,
    attributes: Vec<AttributeProto>,
    /// An output that the operator must have and nothing reads.
    unread: Option<&'static str>,
}

impl Form {
    pub(super) fn new(operator: &'static str) -> Self {
        Self {
            operator,
            inputs: Vec::new(),
            attributes: Vec::new(),
            unread: None,
        }
    }

    pub(super) fn input(mut self, name: impl Into<String>) -> Self {
        self.inputs.push(name.into());
        self
    }

    pub(super) fn replace_input(
        mut self,
        position: usize,
        replacement: impl FnOnce(String) -> String,
    ) -> Self {
        let input = std::mem::take(&mut self.inputs[position]);
        self.inputs[position] = replacement(input);
        self
    }

    pub(super) fn operator(self, operator: &'static str) -> Self {
        Self { operator, ..self }
    }

    pub(super) fn unread_output(self, name: &'static str) -> Self {
        let unread = Some(name);
        Self { unread, ..self }
    }

    pub(super) fn int(self, name: &str, i: i64) -> Self {
        self.attribute(AttributeProto {
            name: name.to_string(),
            r#type: attribute_type::INT,
            i,
            ..AttributeProto::default()
        })
    }

    pub(super) fn float(self, name: &str, f: f32) -> Self {
        self.attribute(AttributeProto {
            name: name.to_string(),
            r#type: attribute_type::FLOAT,
            f,
            ..AttributeProto::default()
        })
    }

    pub(super) fn ints(self, name: &str, ints: impl IntoIterator<Item = usize>) -> Self {
        self.attribute(AttributeProto {
            name: name.to_string(),
            r#type: attribute_type::INTS,
            ints: ints.into_iter().map(|i| i as i64).collect(),
            ..AttributeProto::default()
        })
    }

    fn attribute(mut self, attribute: AttributeProto) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// All but the dilations, which mean pools lack.
    pub(super) fn dense_window(self, w: &Window) -> Self {
        self.ints("kernel_shape", w.kernel.iter().copied())
            .ints("strides", w.strides.iter().copied())
            .ints("pads", w.pads_begin.iter().chain(&w.pads_end).copied())
    }

    pub(super) fn window(self, w: &Window) -> Self {
        self.dense_window(w)
            .ints("dilations", w.dilations.iter().copied())
    }

    pub(super) fn into_node(self, name: String, output: String) -> NodeProto {
        let unread = self.unread.map(|unread| format!("{name}/{unread}"));
        NodeProto {
            name,
            op_type: self.operator.to_string(),
            input: self.inputs,
            output: std::iter::once(output).chain(unread).collect(),
            attribute: self.attributes,
            ..NodeProto::default()
        }
    }
}
