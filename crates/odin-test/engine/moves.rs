//! Moves of elements in a row, engine against interpreter.

use crate::subject::{Output, runs};
use odin_graph::op::*;
use odin_graph::{Array, Dim, Graph, Op, Shape, Tensor, Type, Value, ValueId, interpret};
use proptest::prelude::*;

/// What to do next; numbers are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// Swaps two axes.
    Swap(usize, usize),
    /// Keeps every so many entries of an axis, from one on.
    Cut(usize, usize, usize),
    /// Cuts an axis in two.
    Split(usize, usize),
    /// Joins an axis with the next.
    Join(usize),
    /// Repeats all along a new axis.
    Repeat(usize, usize),
    /// Doubles each element: no move.
    Double,
    /// Makes what there is an output.
    Show,
}

fn moves() -> impl Strategy<Value = Move> {
    let n = 0..6_usize;
    prop_oneof![
        3 => (n.clone(), n.clone()).prop_map(|(a, b)| Move::Swap(a, b)),
        2 => (n.clone(), 0..3_usize, 1..3_usize).prop_map(|(a, s, t)| Move::Cut(a, s, t)),
        2 => (n.clone(), 1..4_usize).prop_map(|(a, by)| Move::Split(a, by)),
        2 => n.clone().prop_map(Move::Join),
        1 => (n, 1..4_usize).prop_map(|(a, times)| Move::Repeat(a, times)),
        1 => Just(Move::Double),
        1 => Just(Move::Show),
    ]
}

/// A move of a value, unless it makes no sense there.
fn apply(g: &mut Graph, x: ValueId, what: Move) -> Option<ValueId> {
    let dims = g.shape(x).dims().to_vec();
    let rank = dims.len();
    let op = match what {
        Move::Swap(a, b) => {
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(a % rank, b % rank);
            Op::Transpose(perm)
        }
        Move::Cut(axis, start, step) => {
            let axis = axis % rank;
            let end = dims[axis].fixed().filter(|&end| start < end)?;
            let axes = vec![SliceAxis {
                axis,
                start,
                end,
                step,
            }];
            Op::Slice(Slice { axes })
        }
        Move::Split(axis, by) => {
            let axis = axis % rank;
            let extent = dims[axis].fixed().filter(|extent| extent % by == 0)?;
            let mut dims = dims;
            dims[axis] = Dim::Fixed(by);
            dims.insert(axis + 1, Dim::Fixed(extent / by));
            Op::Reshape(Shape::new(dims))
        }
        Move::Join(axis) => {
            let axis = axis % rank;
            let joined = dims[axis].fixed()? * dims.get(axis + 1)?.fixed()?;
            let mut dims = dims;
            dims[axis] = Dim::Fixed(joined);
            dims.remove(axis + 1);
            Op::Reshape(Shape::new(dims))
        }
        Move::Repeat(axis, times) => {
            let mut dims = dims;
            let axis = axis % rank;
            dims.insert(axis, Dim::Fixed(1));
            let x = g.add(Op::Reshape(Shape::new(dims.clone())), &[x]).ok()?;
            dims[axis] = Dim::Fixed(times);
            return g.add(Op::Expand(Shape::new(dims)), &[x]).ok();
        }
        Move::Double => return g.add_values(x, x).ok(),
        Move::Show => {
            let name = format!("y{}", g.outputs().len());
            g.output(&name, x);
            return Some(x);
        }
    };
    g.add(op, &[x]).ok()
}

/// What is moved.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Input,
    Known,
    /// Something known, once for each image.
    Repeated,
}

/// The moves that make sense one after the other.
fn graph(shape: &[usize], source: Source, all: &[Move]) -> Graph {
    let mut g = Graph::new();
    let batched = Shape::batched(shape);
    let input = g.input("x", Type::float(batched.clone())).unwrap();
    let mut x = input;
    if source != Source::Input {
        let data = (0..shape.iter().product()).map(|i: usize| i as f32 / 8.0);
        let tensor = Tensor::new(shape.to_vec(), data.collect::<Vec<_>>()).unwrap();
        x = g.constant(tensor).unwrap();
    }
    if source == Source::Repeated {
        x = g.add(Op::Expand(batched), &[x]).unwrap();
    }
    g.output("x", input);
    for &what in all {
        let elements: usize = g.shape(x).at(1).iter().product();
        let grows = matches!(what, Move::Repeat(..)) && elements > 2000;
        if let Some(y) = (!grows).then(|| apply(&mut g, x, what)).flatten() {
            x = y;
        }
    }
    g.output("last", x);
    g
}

fn check(g: &Graph) {
    let (_, input) = g.inputs().next().unwrap();
    for images in [1, 3] {
        let shape = input.ty.shape.at(images);
        let data: Vec<f32> = (0..shape.iter().product())
            .map(|i: usize| i as f32)
            .collect();
        let expected = interpret(g, &[("x", Array::new(shape, data.clone()))]).unwrap();
        for (what, found) in runs(g, images, &[("x", &data)]) {
            for (found, expected) in found.iter().zip(&expected) {
                match (found, expected) {
                    (Output::Float(found), Value::Float(expected)) => {
                        assert_eq!(&found[..], expected.floats(), "{images}, {what}")
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::subject::CASES))]

    #[test]
    fn moves_in_a_row(
        shape in proptest::collection::vec(1..7_usize, 1..4),
        source in prop_oneof![
            Just(Source::Input),
            Just(Source::Known),
            Just(Source::Repeated)
        ],
        all in proptest::collection::vec(moves(), 1..12),
    ) {
        check(&graph(&shape, source, &all));
    }
}

/// Queries, keys and values of attention, cut out of one product, batch second.
#[test]
fn heads() {
    let [split, swap, cut] = [Move::Split(2, 3), Move::Swap(0, 2), Move::Cut(0, 1, 3)];
    let rest = [
        Move::Swap(0, 1),
        Move::Join(1),
        Move::Split(2, 2),
        Move::Swap(1, 2),
    ];
    let mut all = vec![Move::Swap(0, 1), split, swap, cut];
    all.extend(rest);
    check(&graph(&[5, 12], Source::Input, &all));
}

/// A part of what is known and repeated, which is read as a whole as well.
#[test]
fn a_part_of_something_repeated() {
    for all in [
        [Move::Show, Move::Cut(1, 1, 1), Move::Double],
        [Move::Show, Move::Cut(1, 1, 1), Move::Show],
    ] {
        check(&graph(&[4], Source::Repeated, &all));
    }
}
