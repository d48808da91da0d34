//! Passes keep what a graph computes.

use odin_graph::op::*;
use odin_graph::passes::{expand_max_pool_grad, fold_constants, fold_paddings};
use odin_graph::{Array, Graph, Op, Shape, Tensor, Type, interpret, verify, vjp};
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

fn border(axis: usize, before: usize, after: usize) -> PadAxis {
    PadAxis {
        axis,
        before,
        after,
    }
}

/// A convolution of what `paddings` surround, one after the other, and its gradient.
fn padded_conv(paddings: &[(Vec<PadAxis>, f32)], window: &Window) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[3, 6, 7])));
    let x = x.unwrap();
    let mut y = x;
    for (axes, value) in paddings {
        y = g.pad(y, axes.clone(), *value).unwrap();
    }
    let channels = g.shape(y).dims()[1].at(1);
    let shape = [&[2, channels], &window.kernel[..]].concat();
    let w = (0..shape.iter().product()).map(|i| (i * 37 % 23) as f32 - 11.0);
    let w = Tensor::new(shape, w.collect::<Vec<_>>()).unwrap();
    let w = g.constant(w).unwrap();
    let y = g.conv(y, w, None, window.clone(), 1).unwrap();
    let dx = vjp(&mut g, y, y, x).unwrap();
    g.output("y", y);
    g.output("dx", dx);
    g
}

#[test]
fn paddings_with_zeros_become_those_of_windows() {
    let even = || vec![border(2, 1, 1), border(3, 1, 1)];
    let strided = || Window::new(&[3, 3]).stride(2);
    // Paddings and window, and how many paddings and slices are left.
    let cases = [
        (vec![(even(), 0.0)], Window::new(&[3, 3]), 0),
        (
            vec![(vec![border(2, 0, 1), border(3, 0, 1)], 0.0)],
            strided(),
            0,
        ),
        (vec![(vec![border(3, 2, 0)], 0.0)], strided().pad(1), 0),
        (
            vec![(even(), 0.0), (vec![border(2, 0, 3)], 0.0)],
            strided(),
            0,
        ),
        // Borders that no window position reads, before and behind the rest.
        (
            vec![(vec![border(2, 0, 2)], 0.0)],
            Window::new(&[2, 2]).stride(3),
            0,
        ),
        (
            vec![(vec![border(2, 3, 3)], 0.0)],
            Window::new(&[1, 1]).stride(2),
            0,
        ),
        (
            vec![(vec![border(1, 1, 0), border(2, 1, 1)], 0.0)],
            Window::new(&[3, 3]),
            2,
        ),
        (vec![(even(), 1.0)], Window::new(&[3, 3]), 1),
    ];
    for (paddings, window, left) in cases {
        let what = format!("{paddings:?} {window:?}");
        let g = padded_conv(&paddings, &window);
        let folded = fold_paddings(&g).unwrap();
        let moves = |node: &&odin_graph::Node| matches!(node.op, Op::Pad(_) | Op::Slice(_));
        assert_eq!(
            folded.nodes().iter().filter(moves).count(),
            left,
            "{what}: {folded}"
        );
        let inputs = [("x", numbers(&[2, 3, 6, 7], 3, 16))];
        let expected = interpret(&g, &inputs).unwrap();
        assert_eq!(interpret(&folded, &inputs).unwrap(), expected, "{what}");
    }
}

/// What others read as well stays; the convolution does not read it any more.
#[test]
fn a_padding_with_other_readers_stays() {
    let mut g = padded_conv(&[(vec![border(2, 1, 1)], 0.0)], &Window::new(&[3, 3]));
    let found = |g: &Graph, is: fn(&Op) -> bool| g.values().find(|&v| is(&g.node(v).op));
    let padded = found(&g, |op| matches!(op, Op::Pad(_))).unwrap();
    let adjoint = found(&g, |op| matches!(op, Op::ConvTranspose(_))).unwrap();
    g.output("padded", padded);
    g.output("adjoint", adjoint);
    let folded = fold_paddings(&g).unwrap();
    let count = |is: fn(&Op) -> bool| folded.nodes().iter().filter(|n| is(&n.op)).count();
    assert_eq!(
        count(|op| matches!(op, Op::Pad(_) | Op::Slice(_))),
        2,
        "{folded}"
    );
    let conv = found(&folded, |op| matches!(op, Op::Conv(_))).unwrap();
    let x = folded.node(conv).operands[0];
    assert!(matches!(folded.node(x).op, Op::Input(_)), "{folded}");
    let inputs = [("x", numbers(&[2, 3, 6, 7], 3, 16))];
    assert_eq!(
        interpret(&folded, &inputs).unwrap(),
        interpret(&g, &inputs).unwrap()
    );
}
