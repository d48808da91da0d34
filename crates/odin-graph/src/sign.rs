//! Which values cannot be negative, whatever the images are.

use crate::op::{Binary, Unary};
use crate::{Graph, Node, Op, ValueId};

/// Where the sign of a value comes from, if it may be negative: the value itself, or one that only
/// poolings, reshapes and the like lie behind. `None` if it cannot be, as behind a ReLU.
///
/// What is not known to be 0 or more counts as negative, so that a network whose weights alone keep
/// a value from being negative is not recognised.
pub fn maybe_negative(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let mut known: Vec<bool> = Vec::with_capacity(value.index() + 1);
    for node in &graph.nodes()[..=value.index()] {
        let sign = Sign {
            graph,
            known: &known,
        };
        let is_known = sign.of(node);
        known.push(is_known);
    }
    let mut source = value;
    while !known[source.index()] {
        let node = graph.node(source);
        let operand = node.operands.iter().find(|v| !known[v.index()]);
        match operand.filter(|_| keeps_sign(&node.op)) {
            Some(&operand) => source = operand,
            None => return Some(source),
        }
    }
    None
}

/// Whether it only moves, selects or averages values of one sign.
fn keeps_sign(op: &Op) -> bool {
    matches!(
        op,
        Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Concat(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Reshape(_)
            | Op::Expand(_)
            | Op::Transpose(_)
            | Op::Reduce(_)
            | Op::TopK(_)
    )
}

struct Sign<'a> {
    graph: &'a Graph,
    /// Of the values so far, whether they are known to be 0 or more.
    known: &'a [bool],
}

impl Sign<'_> {
    fn of(&self, node: &Node) -> bool {
        let of = |value: &ValueId| self.known[value.index()];
        let operands = &node.operands[..];
        let all = operands.iter().all(of);
        match &node.op {
            Op::Constant(tensor) => tensor.data().iter().all(|v| *v >= 0.0),
            Op::Relu | Op::Softmax(_) | Op::Compare(_) | Op::ArgMax(_) | Op::OneHot(_) => true,
            Op::Unary(unary) => match *unary {
                Unary::Clip { min, max } => max >= 0.0 && (min >= 0.0 || all),
                Unary::Exp | Unary::Sigmoid | Unary::Softplus | Unary::Sqrt => true,
                Unary::Erf | Unary::Tanh => all,
                Unary::Cos | Unary::Log | Unary::Sin => false,
            },
            Op::Binary(binary) => match (binary, operands) {
                (Binary::Max, _) => operands.iter().any(of),
                (Binary::Mul, [a, b]) => all || a == b,
                (Binary::Pow, [base, exponent]) => of(base) || self.is_even(*exponent),
                (Binary::Add | Binary::Div | Binary::Min, _) => all,
                _ => false,
            },
            Op::Where => self.of_choice(operands),
            Op::Pad(pad) => all && pad.value >= 0.0,
            Op::Gemm(gemm) => all && gemm.alpha >= 0.0 && gemm.beta >= 0.0,
            Op::Conv(_) | Op::ConvTranspose(_) | Op::MatMul => all,
            op if keeps_sign(op) => all,
            _ => false,
        }
    }

    /// Of `a > b ? a : c`, whatever the sign of a is.
    fn of_choice(&self, operands: &[ValueId]) -> bool {
        let known = |value: ValueId| self.known[value.index()];
        let &[condition, chosen, other] = operands else {
            return false;
        };
        let condition = self.graph.node(condition);
        let above = match (&condition.op, &condition.operands[..]) {
            (Op::Compare(_), &[a, b]) => a == chosen && known(b),
            _ => false,
        };
        known(other) && (above || known(chosen))
    }

    fn is_even(&self, exponent: ValueId) -> bool {
        match &self.graph.node(exponent).op {
            Op::Constant(tensor) => tensor.data().iter().all(|v| v % 2.0 == 0.0),
            _ => false,
        }
    }
}
