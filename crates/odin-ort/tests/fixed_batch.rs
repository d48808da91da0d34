//! Batches of a fixed size, as TensorRT is given them, on the CPU by the library that
//! `ORT_DYLIB_PATH` names.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use odin_graph::op::{Axis, Compare};
use odin_graph::{Dim, Graph, Op, Shape, Type};
use odin_ort::{Engine, ErrorKind, Options, Output, Provider, Runtime};

/// Softmax, an index, a truth value, and an output whose batch is not its first axis.
fn network() -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[3]))).unwrap();
    let scale = g.input("scale", Type::float(Shape::fixed(&[1]))).unwrap();
    let y = g.mul(x, scale).unwrap();
    let soft = g.softmax(y, 1).unwrap();
    let best = g.add(Op::ArgMax(Axis(1)), &[y]).unwrap();
    let zero = g.scalar(0.0).unwrap();
    let greater = Op::Compare(Compare::Greater);
    let is_positive = g.add(greater, &[y, zero]).unwrap();
    let turned = g.add(Op::Transpose(vec![1, 0]), &[soft]).unwrap();
    assert_eq!(g.shape(turned), &Shape::new([3.into(), Dim::BATCH]));
    g.output("soft", soft);
    g.output("best", best);
    g.output("positive", is_positive);
    g.output("turned", turned);
    g
}

/// Fewer images than a batch, as many, more, and a remainder: the same outputs as without a fixed
/// size, whose images never meet.
#[test]
fn batches_of_a_fixed_size() {
    let Some(library) = odin_test::named_by("ORT_DYLIB_PATH", "library of ONNX Runtime") else {
        return;
    };
    let runtime = Runtime::load(&[library], Provider::Cpu).unwrap();
    let g = network();
    let engine = |images_at_a_time| {
        let options = Options {
            images_at_a_time,
            ..Options::default()
        };
        Engine::new(&runtime, &g, Provider::Cpu, &options).unwrap()
    };
    let (any, fixed) = (engine(None), engine(Some(4)));
    for images in [1, 3, 4, 8, 9] {
        let x: Vec<f32> = (0..3 * images).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let inputs: [(&str, &[f32]); 2] = [("scale", &[0.5]), ("x", &x)];
        let expected: Vec<Output> = any.run(images, &inputs).unwrap();
        assert_eq!(fixed.run(images, &inputs).unwrap(), expected, "{images}");
    }
    let inputs: [(&str, &[f32]); 2] = [("scale", &[0.5]), ("x", &[1.0, 2.0])];
    let error = fixed.run(1, &inputs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
