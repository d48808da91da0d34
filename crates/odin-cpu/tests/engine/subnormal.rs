//! Subnormal numbers count as zero while the engine computes, and only then.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use odin_cpu::{Engine, InstructionSet, Output};
use odin_graph::op::Window;
use odin_graph::{Graph, Shape, Tensor, Type, ValueId};
use std::hint::black_box;

/// A quarter of the smallest normal number.
const SUBNORMAL: f32 = f32::MIN_POSITIVE / 4.0;

fn constant(g: &mut Graph, shape: &[usize], value: f32) -> ValueId {
    let data = vec![value; shape.iter().product()];
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

/// A graph of an input `[C, H, W]`.
fn graph(build: impl Fn(&mut Graph, ValueId) -> ValueId) -> Graph {
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[2, 5, 5])))
        .unwrap();
    let y = build(&mut g, x);
    g.output("y", y);
    g
}

fn run(g: &Graph, set: InstructionSet, threads: usize, pixel: f32) -> Vec<f32> {
    let engine = Engine::with_instructions(g, threads, set).unwrap();
    let pixels = vec![pixel; 3 * 50];
    match engine.run(3, &[("x", &pixels)]).unwrap().swap_remove(0) {
        Output::Float(data) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn operands_and_results_count_as_zero() {
    let scaled = |by: f32| {
        graph(move |g, x| {
            let factor = constant(g, &[], by);
            g.mul(x, factor).unwrap()
        })
    };
    let convolved = |by: f32| {
        graph(move |g, x| {
            let w = constant(g, &[2, 2, 3, 3], by);
            g.conv(x, w, None, Window::new(&[3, 3]).pad(1), 1).unwrap()
        })
    };
    let sum = graph(|g, x| g.add_values(x, x).unwrap());
    let cases = [
        ("a subnormal input", scaled(1e30), SUBNORMAL),
        ("a subnormal factor", scaled(SUBNORMAL), 1e30),
        ("a subnormal product", scaled(1e-20), 1e-20),
        ("a sum of subnormal numbers", sum, SUBNORMAL),
        ("subnormal weights", convolved(SUBNORMAL), 1e30),
        ("subnormal sums of products", convolved(1e-20), 1e-20),
    ];
    for (what, g, pixel) in cases {
        for set in InstructionSet::available() {
            for threads in [1, 2] {
                let found = run(&g, set, threads, pixel);
                assert!(found.iter().all(|&f| f == 0.0), "{what}, {set}: {found:?}");
            }
        }
    }
}

#[test]
fn what_is_only_moved_keeps_its_bits() {
    let g = graph(|g, x| g.flatten(x).unwrap());
    let found = run(&g, InstructionSet::available()[0], 1, SUBNORMAL);
    assert!(
        found.iter().all(|&f| f.to_bits() == SUBNORMAL.to_bits()),
        "{found:?}"
    );
}

#[test]
fn the_caller_computes_as_before() {
    let half = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
    let g = graph(|g, x| g.add_values(x, x).unwrap());
    for threads in [1, 2] {
        run(&g, InstructionSet::available()[0], threads, SUBNORMAL);
        assert!(half() > 0.0);
    }
    // Nor does a run within a pool of the caller's change its threads.
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| {
            run(&g, InstructionSet::available()[0], 2, 1.0);
            half()
        });
        assert!(ran.join().unwrap() > 0.0);
    });
}
