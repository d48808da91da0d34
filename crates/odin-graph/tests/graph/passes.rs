//! Passes keep what a graph computes.

use odin_graph::op::*;
use odin_graph::passes::{expand_max_pool_grad, fold_constants};
use odin_graph::{Array, Graph, Op, Shape, Tensor, Type, interpret, verify};
use proptest::prelude::*;

fn numbers(shape: &[usize], seed: u64, levels: u64) -> Array<f64> {
    let mut state = seed | 1;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(99);
        (state >> 40) as f64 % levels as f64 - levels as f64 / 2.0
    };
    let count = shape.iter().product();
    Array::new(shape.to_vec(), (0..count).map(next).collect())
}

proptest! {
    /// With few distinct values, so that most windows hold several equal maxima.
    #[test]
    fn expanding_a_max_pool_gradient_keeps_it(
        kernel in prop::collection::vec(1usize..4, 2),
        strides in prop::collection::vec(1usize..4, 2),
        dilations in prop::collection::vec(1usize..3, 2),
        pads in prop::collection::vec(0usize..3, 4),
        spatial in prop::collection::vec(1usize..8, 2),
        levels in 1u64..6,
        seed: u64,
    ) {
        let window = Window {
            kernel, strides, dilations,
            pads_begin: pads[..2].to_vec(),
            pads_end: pads[2..].to_vec(),
        };
        let mut g = Graph::new();
        let x = g.input("x", Type::float(Shape::batched(&[3, spatial[0], spatial[1]]))).unwrap();
        let Ok(y) = g.max_pool(x, window.clone()) else { return Ok(()) };
        let dy = g.input("dy", g.ty(y).clone()).unwrap();
        let dx = g.add(Op::MaxPoolGrad(window), &[x, dy]).unwrap();
        g.output("y", y);
        g.output("dx", dx);
        let expanded = expand_max_pool_grad(&g).unwrap();
        verify(&expanded).unwrap();
        prop_assert!(expanded.nodes().iter().all(|n| !matches!(n.op, Op::MaxPoolGrad(_))));
        let inputs = [
            ("x", numbers(&g.shape(x).at(2), seed, levels)),
            ("dy", numbers(&g.shape(y).at(2), !seed, 100)),
        ];
        prop_assert_eq!(interpret(&g, &inputs).unwrap(), interpret(&expanded, &inputs).unwrap());
    }
}

#[test]
fn what_depends_on_no_input_is_computed_once() {
    let build = || -> Result<Graph, odin_graph::Error> {
        let mut g = Graph::new();
        let x = g.input("x", Type::float(Shape::batched(&[3])))?;
        let w = g.constant(Tensor::new(
            vec![2, 3],
            (0..6).map(|v| v as f32).collect::<Vec<_>>(),
        )?)?;
        let transposed = g.add(Op::Transpose(vec![1, 0]), &[w])?;
        let zero = g.scalar(0.0)?;
        let positive = g.compare(Compare::Greater, transposed, zero)?;
        let masked = g.select(positive, transposed, zero)?;
        let y = g.mat_mul(x, masked)?;
        let also = g.select(positive, transposed, zero)?;
        g.output("y", y);
        g.output("constant", also);
        Ok(g)
    };
    let g = build().unwrap();
    let inputs = [("x", numbers(&[2, 3], 7, 9))];
    let expected = interpret(&g, &inputs).unwrap();
    for (limit, nodes_left) in [(100, 4), (5, 8)] {
        let folded = fold_constants(&g, limit).unwrap();
        verify(&folded).unwrap();
        assert_eq!(interpret(&folded, &inputs).unwrap(), expected);
        assert_eq!(folded.nodes().len(), nodes_left, "{folded}");
    }
}
