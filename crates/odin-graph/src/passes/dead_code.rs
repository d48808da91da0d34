//! Dead-code elimination.

use super::rebuild::rebuild;
use crate::{Error, Graph, Op};

/// Removes every node that no output depends on, except inputs, which are the graph's signature.
///
/// # Errors
/// If the graph is not well formed.
pub fn eliminate_dead_code(graph: &Graph) -> Result<Graph, Error> {
    let needed = graph.needed_for_outputs();
    rebuild(graph, |new, value, node| {
        let keep = needed[value.index()] || matches!(node.op, Op::Input(_));
        keep.then(|| new.add(node.op, &node.operands)).transpose()
    })
}
