//! The part of a file that is computed in 16 bits.

use super::encoder::Encoder;
use super::form::Form;
use crate::onnx::proto::data_type;
use odin_graph::{DType, Graph, Op, ValueId};

/// In which types a file computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Typing {
    /// All in 32 bits.
    #[default]
    Float,
    /// The products of the direction ([`Graph::direction`]), and what follows them in it, in 16 bits;
    /// all else in 32. Weights are stored in 32 bits, once, and cast where they are read: runtimes do
    /// that when they load the file.
    HalfDirection,
}

/// The values that a node of 16 bits computes; one entry per value. The direction before its first
/// product stays in 32 bits, such as the softmax whose gradient begins it, and constants do: neither
/// takes time, and the softmax has numbers that 16 bits have not. So do normalisations, and what
/// follows them up to the next product.
pub(super) fn half_values(graph: &Graph, typing: Typing) -> Vec<bool> {
    let mut half = vec![false; graph.nodes().len()];
    if typing == Typing::Float {
        return half;
    }
    let (direction, varies) = (graph.direction(), graph.depends_on_inputs());
    for value in graph.values() {
        let node = graph.node(value);
        let of_half =
            |operand: &ValueId| half[operand.index()] && graph.ty(*operand).dtype == DType::Float;
        let begins = is_product(&node.op) && varies[value.index()];
        let reads_half = !is_normalisation(&node.op) && node.operands.iter().any(of_half);
        half[value.index()] = direction[value.index()] && (begins || reads_half);
    }
    half
}

fn is_product(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv(_) | Op::ConvTranspose(_) | Op::MatMul | Op::Gemm(_)
    )
}

/// Its variances may be too large or too small for 16 bits, and OpenVINO takes no other type for them
/// than for the values.
fn is_normalisation(op: &Op) -> bool {
    matches!(op, Op::BatchNorm(_))
}

impl Encoder<'_> {
    /// The name under which a node reads a real number of 16 or 32 bits, in the type that it computes
    /// in.
    pub(super) fn typed(&mut self, name: String, is_half: bool, reader: ValueId) -> String {
        match (is_half, self.half[reader.index()]) {
            (false, true) => self.cast(name, data_type::FLOAT16, "half"),
            (true, false) => self.cast(name, data_type::FLOAT, "float"),
            _ => name,
        }
    }

    fn cast(&mut self, name: String, to: i32, ending: &str) -> String {
        let wanted = format!("{name}/{ending}");
        if let Some(known) = self.casts.get(&wanted) {
            return known.clone();
        }
        let form = Form::new("Cast").input(name).int("to", to.into());
        let cast = self.add(form, &wanted);
        self.casts.insert(wanted, cast.clone());
        cast
    }
}
