//! What a caller of the engine may do and get wrong.

use crate::networks::{Layer, classifier, floats, inputs, with_direction};
use crate::numbers;
use odin_cpu::{Engine, ErrorKind, Options, Output};
use odin_graph::{Graph, Shape, Type, odin};

fn run(engine: &Engine, pixels: &[f32]) -> Vec<Output> {
    let (images, inputs) = inputs(pixels);
    engine.run(images, &inputs).unwrap()
}

#[test]
fn neither_batch_nor_threads_change_a_bit() {
    use Layer::{AvgPool, Dense, MaxPool, Mobile, MobileStrided, Residual, Strided};
    let layers = [
        Mobile,
        MobileStrided,
        Dense,
        Residual,
        MaxPool,
        Residual,
        AvgPool,
        Strided,
    ];
    let g = with_direction(&classifier(&layers));
    let pixels = numbers(6, 7 * 192);
    let engine = Engine::new(&g, 1).unwrap();
    let whole = run(&engine, &pixels);
    for threads in 2..6 {
        let found = run(&Engine::new(&g, threads).unwrap(), &pixels);
        // Not `assert_eq`, which would print them.
        assert!(whole == found, "{threads} threads");
    }
    for batch in 1..7 {
        let parts: Vec<Vec<Output>> = pixels
            .chunks(batch * 192)
            .map(|p| run(&engine, p))
            .collect();
        for output in [0, 2, 3] {
            let joined: Vec<f32> = parts
                .iter()
                .flat_map(|p| floats(&p[output]).to_vec())
                .collect();
            assert_eq!(floats(&whole[output]), joined, "batches of {batch}");
        }
    }
}

#[test]
fn a_batch_axis_that_is_not_the_first() {
    let mut g = Graph::new();
    let x = g
        .input(
            "x",
            Type::float(Shape::new([2.into(), odin_graph::Dim::BATCH, 1.into()])),
        )
        .unwrap();
    let y = g.relu(x).unwrap();
    g.output("y", y);
    let outputs = Engine::new(&g, 2)
        .unwrap()
        .run(3, &[("x", &[1., 2., 3., 4., 5., 6.])])
        .unwrap();
    assert_eq!(floats(&outputs[0]), [1., 2., 3., 4., 5., 6.]);
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[1]))).unwrap();
    let huge = g.expand(x, Shape::batched(&[1 << 29])).unwrap();
    let sum = g
        .reduce(huge, odin_graph::op::ReduceKind::Sum, vec![1], false)
        .unwrap();
    g.output("sum", sum);
    let mut options = Options::default();
    options.max_thread_bytes = Some(1 << 30);
    let error = Engine::with_options(&g, 1, options)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("need 2147483"), "{error}");
    let engine = Engine::new(&g, 1).unwrap();
    assert!(engine.memory_per_thread() >= 1 << 31);
}

/// Callers that share an engine neither wait for each other for ever nor disturb each other.
#[test]
fn several_callers_at_once() {
    let g = odin::transform(&classifier(&[Layer::Dense, Layer::Residual]), 1).unwrap();
    let pixels = numbers(6, 3 * 192);
    let engine = Engine::new(&g, 2).unwrap();
    let expected = run(&engine, &pixels);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert!(run(&engine, &pixels) == expected);
                }
            });
        }
    });
}

/// However many threads share an image, each step has a time.
#[test]
fn every_step_takes_its_time() {
    let g = odin::transform(&classifier(&[Layer::Dense, Layer::Residual]), 1).unwrap();
    let pixels = numbers(6, 192);
    let begun = std::time::Instant::now();
    for threads in [1, 3] {
        let engine = Engine::new(&g, threads).unwrap();
        let inputs: [(&str, &[f32]); 3] = [
            ("x", &pixels),
            (odin::names::TEMPERATURE, &[1000.0]),
            (odin::names::STEP, &[0.01; 3]),
        ];
        let times = engine.times(&inputs, 5, &|| begun.elapsed()).unwrap();
        assert_eq!(times.len(), engine.program().steps.len());
        let all: std::time::Duration = times.iter().sum();
        assert!(!all.is_zero() && 5 * all <= begun.elapsed(), "{times:?}");
    }
}
