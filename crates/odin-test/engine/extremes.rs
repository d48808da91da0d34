//! Attributes of any size end in results or in errors, never in a panic or in memory without end.

use crate::subject::{self, Output};
use odin_graph::op::*;
use odin_graph::{Graph, Op, Shape, Tensor, Type, vjp};

/// What attributes may be, besides usual: large, and near the ends of integers.
const EXTREMES: [usize; 5] = [
    2,
    257,
    1_000_000_000,
    u32::MAX as usize,
    isize::MAX as usize,
];

/// Runs an operator on an image of 2x3x4 and, if its gradient can be built, that.
fn check(op: &Op, weights: Option<&[usize]>) {
    if !subject::takes(&format!("{op:?}")) {
        return;
    }
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[2, 3, 4])))
        .unwrap();
    let mut operands = vec![x];
    if let Some(shape) = weights {
        let data = vec![1.0; shape.iter().product()];
        operands.push(
            g.constant(Tensor::new(shape.to_vec(), data).unwrap())
                .unwrap(),
        );
    }
    let Ok(y) = g.add(op.clone(), &operands) else {
        return;
    };
    // What large results take is the reader's to limit.
    if g.shape(y).at(1).iter().product::<usize>() > 1 << 20 {
        return;
    }
    g.output("y", y);
    run(&g, op);
    // Portable gradients of mean pools have weights of the size of the window.
    let small = !matches!(op, Op::AvgPool(p) if p.window.kernel.iter().any(|&k| k > 1000));
    if small && let Ok(gradient) = vjp(&mut g, y, y, x) {
        g.output("gradient", gradient);
        run(&g, op);
    }
}

fn run(g: &Graph, op: &Op) {
    let Some(outputs) = subject::run_or_refuse(g, &[("x", &[1.0; 24])], &format!("{op:?}")) else {
        return;
    };
    for output in outputs {
        let Output::Float(data) = output else {
            panic!("{output:?}")
        };
        assert!(data.iter().all(|v| v.is_finite()), "{op:?}: {data:?}");
    }
}

/// Windows of which one or two attributes are extreme, at either axis.
fn windows() -> Vec<Window> {
    let mut all = Vec::new();
    for kernel in [1, 2, 3] {
        for axis in [0, 1] {
            for a in EXTREMES {
                for b in EXTREMES {
                    for which in 0..6 {
                        let mut w = Window::new(&[kernel; 2]);
                        match which {
                            0 => w.strides[axis] = a,
                            1 => (w.strides[axis], w.pads_end[1 - axis]) = (a, b),
                            2 => (w.dilations[axis], w.pads_begin[axis]) = (a, b),
                            3 => {
                                w.dilations[axis] = a;
                                (w.pads_begin[axis], w.pads_end[axis]) = (b, b);
                            }
                            4 => {
                                w.kernel[axis] = a;
                                (w.pads_begin[axis], w.pads_end[axis]) = (a - 1, a - 1);
                                w.strides[axis] = b;
                            }
                            _ => {
                                w.strides = vec![a, b];
                                w.pads_begin[axis] = kernel - 1;
                            }
                        }
                        all.push(w);
                    }
                }
            }
        }
    }
    all
}

#[test]
fn pools() {
    for window in windows() {
        check(&Op::MaxPool(window.clone()), None);
        for count_padding in [false, true] {
            let window = window.clone();
            check(
                &Op::AvgPool(AvgPool {
                    window,
                    count_padding,
                }),
                None,
            );
        }
    }
}

#[test]
fn convolutions() {
    let small = |w: &Window| w.kernel.iter().all(|&k| k < 300);
    // A seventh of them, which is prime to how they are made: some reach over a gigabyte.
    for window in windows().into_iter().filter(small).step_by(7) {
        for groups in [1, 2] {
            let w = [&[2, 2 / groups], &window.kernel[..]].concat();
            let conv = Conv {
                window: window.clone(),
                groups,
            };
            check(&Op::Conv(conv), Some(&w));
            for padding in [0, 3] {
                let transpose = ConvTranspose {
                    window: window.clone(),
                    output_padding: vec![padding; 2],
                    groups,
                };
                check(&Op::ConvTranspose(transpose), Some(&w));
            }
        }
    }
}
