//! Reachability: which values depend on which, and which an output depends on.

use crate::{Graph, Op, ValueId};

/// Each answer has one entry per value.
impl Graph {
    /// Whether a value depends on `from`, which depends on itself.
    pub fn depends_on(&self, from: ValueId) -> Vec<bool> {
        self.reachable_from(|value| value == from)
    }

    /// Whether a value depends on an input, rather than on constants alone.
    pub fn depends_on_inputs(&self) -> Vec<bool> {
        self.reachable_from(|value| matches!(self.node(value).op, Op::Input(_)))
    }

    fn reachable_from(&self, is_source: impl Fn(ValueId) -> bool) -> Vec<bool> {
        let mut reachable: Vec<bool> = Vec::with_capacity(self.nodes().len());
        for value in self.values() {
            let mut operands = self.node(value).operands.iter();
            reachable.push(is_source(value) || operands.any(|v| reachable[v.index()]));
        }
        reachable
    }

    /// Whether one of `targets` depends on a value; each depends on itself.
    pub fn needed_for(&self, targets: impl IntoIterator<Item = ValueId>) -> Vec<bool> {
        let mut needed = vec![false; self.nodes().len()];
        for target in targets {
            needed[target.index()] = true;
        }
        for (i, node) in self.nodes().iter().enumerate().rev() {
            if needed[i] {
                for operand in &node.operands {
                    needed[operand.index()] = true;
                }
            }
        }
        needed
    }

    /// Whether an output depends on a value.
    pub fn needed_for_outputs(&self) -> Vec<bool> {
        self.needed_for(self.outputs().iter().map(|output| output.value))
    }
}
