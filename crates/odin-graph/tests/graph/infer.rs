//! What shape inference refuses, and how it says so.

use odin_graph::op::*;
use odin_graph::{Dim, Error, Graph, Op, Shape, Tensor, Type, ValueId};

type Build = fn(&mut Graph, ValueId) -> Result<ValueId, Error>;

fn zeros(g: &mut Graph, shape: &[usize]) -> ValueId {
    let count = shape.iter().product();
    g.constant(Tensor::new(shape.to_vec(), vec![0.0; count]).unwrap())
        .unwrap()
}

/// Each is tried on `x [N, 4, 6, 6]`; the message must hold both parts.
const REFUSED: &[(&str, Build, [&str; 2])] = &[
    (
        "kernel over the edge",
        |g, x| g.max_pool(x, Window::new(&[7, 7])),
        ["MaxPool", "larger than the padded input"],
    ),
    (
        "stride of 0",
        |g, x| g.max_pool(x, Window::new(&[2, 2]).stride(0)),
        ["MaxPool", "at least 1"],
    ),
    (
        "window of one axis",
        |g, x| g.max_pool(x, Window::new(&[2])),
        ["MaxPool", "2 spatial axes"],
    ),
    (
        "padding wider than the window",
        |g, x| g.avg_pool(x, Window::new(&[2, 2]).pad(2), true),
        ["AveragePool", "nothing but padding"],
    ),
    (
        "channels that do not fit",
        |g, x| {
            let w = zeros(g, &[8, 3, 1, 1]);
            g.conv(x, w, None, Window::new(&[1, 1]), 1)
        },
        ["Conv", "4 channels"],
    ),
    (
        "groups that do not divide",
        |g, x| {
            let w = zeros(g, &[8, 4, 1, 1]);
            g.conv(x, w, None, Window::new(&[1, 1]), 3)
        },
        ["Conv", "3 groups"],
    ),
    (
        "a bias of the wrong length",
        |g, x| {
            let (w, b) = (zeros(g, &[8, 4, 1, 1]), zeros(g, &[4]));
            g.conv(x, w, Some(b), Window::new(&[1, 1]), 1)
        },
        ["bias", "[8]"],
    ),
    (
        "softmax over the batch",
        |g, x| g.softmax(x, 0),
        ["Softmax", "mix the images"],
    ),
    (
        "a sum over the batch",
        |g, x| g.reduce(x, ReduceKind::Sum, vec![0], true),
        ["ReduceSum", "mix the images"],
    ),
    (
        "concatenation of batches",
        |g, x| g.concat(&[x, x], 0),
        ["Concat", "mix the images"],
    ),
    (
        "a slice out of bounds",
        |g, x| {
            g.slice(
                x,
                vec![SliceAxis {
                    axis: 1,
                    start: 0,
                    end: 5,
                    step: 1,
                }],
            )
        },
        ["Slice", "0..5"],
    ),
    (
        "an axis that is not there",
        |g, x| g.softmax(x, 4),
        ["Softmax", "no axis 4"],
    ),
    (
        "a reshape to another count",
        |g, x| g.reshape(x, Shape::batched(&[143])),
        ["Reshape", "same number"],
    ),
    (
        "a reshape across images",
        |g, x| g.reshape(x, Shape::new([Dim::Fixed(144), Dim::BATCH])),
        ["Reshape", "mix the images"],
    ),
    (
        "shapes that do not broadcast",
        |g, x| {
            let w = zeros(g, &[5]);
            g.add_values(x, w)
        },
        ["Add", "broadcast"],
    ),
    (
        "a mask that is none",
        |g, x| g.select(x, x, x),
        ["Where", "bool"],
    ),
    (
        "indices that are none",
        |g, x| g.add(Op::OneHot(3), &[x]),
        ["OneHot", "indices"],
    ),
    (
        "more elements than there are",
        |g, x| g.top_k(x, 1, 5),
        ["TopK", "5 elements cannot be kept of the 4 along axis 1"],
    ),
    (
        "no element",
        |g, x| g.top_k(x, 1, 0),
        ["TopK", "0 elements cannot be kept"],
    ),
    (
        "the largest images of a batch",
        |g, x| g.top_k(x, 0, 1),
        ["TopK", "mix the images"],
    ),
    (
        "a missing operand",
        |g, x| g.add(Op::MatMul, &[x]),
        ["MatMul", "2 operands"],
    ),
    (
        "a result without bounds",
        |g, x| {
            g.expand(
                x,
                Shape::new([
                    Dim::Fixed(usize::MAX / 8),
                    Dim::BATCH,
                    Dim::Fixed(4),
                    Dim::Fixed(6),
                    Dim::Fixed(6),
                ]),
            )
        },
        ["Expand", "too large"],
    ),
    (
        "a value of more than 4 GiB",
        |g, x| {
            g.pad(
                x,
                vec![PadAxis {
                    axis: 1,
                    before: 1 << 30,
                    after: 0,
                }],
                0.0,
            )
        },
        ["Pad", "too large"],
    ),
    (
        "axes without end",
        |g, x| {
            let mut dims = g.shape(x).dims().to_vec();
            dims.resize(65, Dim::Fixed(1));
            g.reshape(x, Shape::new(dims))
        },
        ["Reshape", "65 axes"],
    ),
    (
        "parts without end",
        |g, x| g.concat(&[x; 4097], 1),
        ["Concat", "4097"],
    ),
    (
        "padding without end",
        |g, x| {
            let w = zeros(g, &[8, 4, 1, 1]);
            let window = Window::new(&[1, 1]).pad(1 << 20).stride(1 << 20);
            g.conv(x, w, None, window, 1)
        },
        ["Conv", "with its padding"],
    ),
    (
        "a window without end",
        |g, x| g.max_pool(x, Window::new(&[1 << 13, 1 << 13]).pad((1 << 12) - 1)),
        ["MaxPool", "8192"],
    ),
];

#[test]
fn misfits_are_refused_by_name() {
    for (name, build, parts) in REFUSED {
        let mut g = Graph::new();
        let x = g
            .input("x", Type::float(Shape::batched(&[4, 6, 6])))
            .unwrap();
        let error = build(g.at("layer7"), x).map(|_| ()).expect_err(name);
        let message = error.to_string();
        assert!(message.starts_with("layer7: "), "{name}: {message}");
        for part in parts {
            assert!(message.contains(part), "{name}: no {part:?} in {message}");
        }
    }
}
