//! Networks that give a single number for two classes, trained with a sigmoid.

use odin_graph::op::Gemm;
use odin_graph::{Error, Graph, Op, Shape, Tensor, ValueId, linear_head_of};

/// What the user should know of them.
pub(crate) const SINGLE_LOGIT: &str = "a single number z for two classes; the logits are -z/2 and z/2, whose softmax is the sigmoid of z";

/// What is added where no sigmoid shows that it is one.
pub(crate) const NO_SIGMOID: &str = ". That was assumed, because no sigmoid is behind it: if the network predicts a quantity (regression), it has no classes, and no score means anything; a classifier that ends in a Sigmoid, or in one number for each class, says what it is";

/// `-z/2` and `z/2` of a single logit `z [N, 1]`. A linear layer stays one, with two classes.
pub(crate) fn two_classes(graph: &mut Graph, z: ValueId) -> Result<ValueId, Error> {
    let both = |half: &dyn Fn(f32) -> f32, row: &[f32]| -> Vec<f32> {
        let negative = row.iter().map(|&v| -half(v));
        negative.chain(row.iter().map(|&v| half(v))).collect()
    };
    let half = |v: f32| v / 2.0;
    let Ok(head) = linear_head_of(graph, z) else {
        let weight = Tensor::new(vec![1, 2], vec![-0.5, 0.5])?;
        let weight = graph.constant(weight)?;
        return graph.mat_mul(z, weight);
    };
    let width = head.weight.data().len();
    let features = graph.reshape(head.features, Shape::batched(&[width]))?;
    let weight = Tensor::new(vec![2, width], both(&half, head.weight.data()))?;
    let weight = graph.constant(weight)?;
    let bias = graph.constant(Tensor::vector(both(&half, head.bias.data())))?;
    let gemm = Gemm {
        alpha: 1.0,
        beta: 1.0,
        trans_a: false,
        trans_b: true,
    };
    graph.add(Op::Gemm(gemm), &[features, weight, bias])
}
