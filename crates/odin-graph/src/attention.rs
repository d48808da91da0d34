//! Whether a network attends, as transformers do.

use crate::{Graph, Node, Op};

/// Whether a softmax of what depends on the images weights other values that do: attention.
pub fn has_attention(graph: &Graph) -> bool {
    let of_images = graph.depends_on_inputs();
    let mut softmax: Vec<bool> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let mut operands = node.operands.iter().map(|v| v.index());
        if matches!(node.op, Op::MatMul)
            && operands.clone().any(|i| softmax[i])
            && operands.all(|i| of_images[i])
        {
            return true;
        }
        let is_softmax = is_softmax(node, &softmax);
        softmax.push(is_softmax);
    }
    false
}

/// A softmax, moved or masked; of the values before it, which are such.
fn is_softmax(node: &Node, softmax: &[bool]) -> bool {
    let moved = match node.op {
        Op::Softmax(_) => return true,
        Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Expand(_) => &node.operands[..],
        Op::Where => &node.operands[1..],
        _ => return false,
    };
    moved.iter().any(|v| softmax[v.index()])
}
