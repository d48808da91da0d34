//! Which values of ODIN's graphs are the direction, and which are scored.

use odin_graph::odin::{Extras, forward, names, transform_with};
use odin_graph::op::{Axis, Compare, Window};
use odin_graph::{Error, Graph, Op, Shape, Tensor, Type, ValueId, passes};

/// `[N, 2, 4, 4]` to 3 logits, by a convolution and a fully connected layer.
fn network() -> Graph {
    let build = || -> Result<Graph, Error> {
        let mut g = Graph::new();
        let x = g.input("x", Type::float(Shape::batched(&[2, 4, 4])))?;
        let w = g.constant(Tensor::new(vec![3, 2, 3, 3], vec![0.5; 54])?)?;
        let y = g.conv(x, w, None, Window::new(&[3, 3]).pad(1), 1)?;
        let y = g.relu(y)?;
        let y = g.flatten(y)?;
        let w = g.constant(Tensor::new(vec![3, 48], vec![0.25; 144])?)?;
        let y = g.linear(y, w, None)?;
        g.output("z", y);
        Ok(g)
    };
    build().unwrap()
}

/// ODIN with the outputs of these names alone.
fn odin(extras: Extras, outputs: &[&str]) -> Graph {
    let mut g = transform_with(&network(), 1, extras).unwrap();
    let all = g.outputs().to_vec();
    g.clear_outputs();
    for output in all {
        if outputs.contains(&&*output.name) {
            g.output(output.name, output.value);
        }
    }
    assert_eq!(g.outputs().len(), outputs.len());
    passes::eliminate_dead_code(&g).unwrap()
}

/// The convolutions and matrix products in order, `d` where they are the direction.
fn products(g: &Graph) -> String {
    let direction = g.direction();
    let is_product = |v: &ValueId| {
        let op = &g.node(*v).op;
        matches!(
            op,
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul
        )
    };
    let letter = |v: ValueId| if direction[v.index()] { 'd' } else { 's' };
    g.values().filter(is_product).map(letter).collect()
}

#[test]
fn what_only_signs_and_arg_maxima_read_is_the_direction() {
    let none = Extras::default();
    let largest = Extras {
        largest_coordinate: true,
        ..none
    };
    let gradient = Extras {
        gradient: true,
        ..none
    };
    let direction = Extras {
        direction: true,
        ..none
    };
    // Forward pass, gradient, forward pass: two products each.
    for (extras, outputs, expected) in [
        (none, &[names::PERTURBED_LOGITS][..], "ddddss"),
        (
            none,
            &[names::PREDICTION, names::PERTURBED_LOGITS],
            "ddddss",
        ),
        (none, &[names::LOGITS, names::PERTURBED_LOGITS], "ssddss"),
        (direction, &[names::DIRECTION], "dddd"),
        (largest, &[names::I_ODIN_LOGITS], "ddddss"),
        (
            gradient,
            &[names::GRADIENT, names::PERTURBED_LOGITS],
            "ssssss",
        ),
    ] {
        let g = odin(extras, outputs);
        assert_eq!(products(&g), expected, "{outputs:?}");
        let folded = passes::fold_constants(&g, 1 << 20).unwrap();
        assert_eq!(products(&folded), expected, "{outputs:?}, folded");
    }
    assert_eq!(products(&forward(&network(), None).unwrap()), "ss");
}

#[test]
fn weights_of_both_are_scored_and_their_borders_too() {
    let g = odin(Extras::default(), &[names::PERTURBED_LOGITS]);
    let direction = g.direction();
    for value in g.values() {
        let node = g.node(value);
        let is_scored = match &node.op {
            Op::Constant(tensor) if tensor.data().len() > 1 => true,
            Op::ArgMax(_) => false,
            Op::Input(input) => input.name != names::TEMPERATURE,
            _ => continue,
        };
        assert_eq!(
            direction[value.index()],
            !is_scored,
            "{}",
            g.describe(value)
        );
    }
}

/// A comparison whose result is chosen by, of `x` that reaches the output in no other way.
fn step_function(compare: Compare, bound: f32, values: [f32; 2]) -> Result<Graph, Error> {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[4])))?;
    let two = g.scalar(2.0)?;
    let y = g.mul(x, two)?;
    let bound = g.scalar(bound)?;
    let reached = g.compare(compare, y, bound)?;
    let [a, b] = [g.scalar(values[0])?, g.scalar(values[1])?];
    let y = g.select(reached, a, b)?;
    g.output("y", y);
    Ok(g)
}

#[test]
fn other_comparisons_read_every_digit() {
    let is_direction = |g: &Graph| {
        let product = g.values().find(|&v| g.node(v).op.name() == "Mul").unwrap();
        g.direction()[product.index()]
    };
    let at_least = Compare::GreaterOrEqual;
    for (compare, bound, values, expected) in [
        (at_least, 0.0, [1.0, -1.0], true),
        (at_least, -0.0, [1.0, -1.0], true),
        (at_least, 0.5, [1.0, -1.0], false),
        (at_least, 0.0, [1.0, 0.0], false),
        (at_least, 0.0, [-1.0, 1.0], false),
        (Compare::Greater, 0.0, [1.0, -1.0], false),
    ] {
        let mut g = step_function(compare, bound, values).unwrap();
        assert_eq!(is_direction(&g), expected, "{bound} {values:?}");
        let product = g.values().find(|&v| g.node(v).op.name() == "Mul").unwrap();
        g.output("also", product);
        assert!(!is_direction(&g), "an output is read as it is");
    }
}

#[test]
fn what_no_output_needs_is_neither() {
    let mut g = step_function(Compare::GreaterOrEqual, 0.0, [1.0, -1.0]).unwrap();
    let x = g.inputs().next().unwrap().0;
    let unused = g.relu(x).unwrap();
    let index = g.add(Op::ArgMax(Axis(1)), &[unused]).unwrap();
    let direction = g.direction();
    assert!(!direction[unused.index()] && !direction[index.index()]);
}
