//! What is wrong with the inputs of a run is named.

use crate::subject;
use odin_graph::{Graph, Shape, Type};

#[test]
fn wrong_inputs_are_named() {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[2]))).unwrap();
    g.output("y", x);
    type Inputs<'a> = &'a [(&'a str, &'a [f32])];
    let cases: [(usize, Inputs<'_>, &str); 6] = [
        (1, &[], "\"x\" is missing"),
        (1, &[("z", &[])], "no input \"z\""),
        (
            2,
            &[("x", &[1.0])],
            "must hold 4 elements for 2 images, it holds 1",
        ),
        (1, &[("x", &[1.0, 2.0]), ("x", &[1.0, 2.0])], "twice"),
        (0, &[("x", &[])], "at least one image"),
        (usize::MAX, &[("x", &[])], "too many"),
    ];
    for (images, inputs, message) in cases {
        if let Some(said) = subject::wrong_input(&g, images, inputs) {
            assert!(said.contains(message), "{said}");
        }
    }
}
