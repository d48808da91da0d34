//! The direction: the values that decide where ODIN moves an image, but not how far.
//!
//! A sign and an arg-max keep a bit or an index of what they read. What reaches the outputs through
//! them alone, such as the gradient of ODIN, and the first forward pass where nobody asks for its
//! logits, may be computed in fewer digits: a small error changes nothing but what is close to the
//! border.

use crate::op::Compare;
use crate::{Graph, Op, ValueId};

impl Graph {
    /// Whether a value reaches the outputs, and through signs and arg-maxima alone; one entry per
    /// value. A sign is `x >= 0 ? 1 : -1`, as [`crate::odin`] writes it; every other comparison
    /// counts as one whose operands matter to the last digit.
    pub fn direction(&self) -> Vec<bool> {
        let exact = self.needed_exactly();
        let needed = self.needed_for_outputs();
        needed.iter().zip(exact).map(|(&n, e)| n && !e).collect()
    }

    /// Whether an output depends on a value otherwise than through signs and arg-maxima.
    fn needed_exactly(&self) -> Vec<bool> {
        let mut exact = vec![false; self.nodes().len()];
        for output in self.outputs() {
            exact[output.value.index()] = true;
        }
        for value in self.values().rev() {
            let is_border = self.is_sign(value) || matches!(self.node(value).op, Op::ArgMax(_));
            if exact[value.index()] && !is_border {
                for operand in &self.node(value).operands {
                    exact[operand.index()] = true;
                }
            }
        }
        exact
    }

    /// Whether a value is `x >= 0 ? 1 : -1`.
    fn is_sign(&self, value: ValueId) -> bool {
        let node = self.node(value);
        let (Op::Where, &[condition, a, b]) = (&node.op, &node.operands[..]) else {
            return false;
        };
        let compared = self.node(condition);
        matches!(compared.op, Op::Compare(Compare::GreaterOrEqual))
            && self.is_all(compared.operands[1], 0.0)
            && self.is_all(a, 1.0)
            && self.is_all(b, -1.0)
    }

    /// Whether a value is a constant of this number alone.
    fn is_all(&self, value: ValueId, number: f32) -> bool {
        let constant = self.constant_value(value);
        constant.is_some_and(|tensor| tensor.data().iter().all(|&entry| entry == number))
    }
}
