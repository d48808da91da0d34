//! What a caller of the engine may do and get wrong.

use crate::networks::{Layer, classifier, floats, inputs, with_direction};
use crate::numbers;
use crate::subject::gpu;
use odin_gpu::{Choice, Engine, ErrorKind, Gpu, Output};
use odin_graph::op::{Compare, ReduceKind};
use odin_graph::{Dim, Graph, Op, Shape, Type, odin};
use std::time::Duration;

fn run(engine: &Engine, pixels: &[f32]) -> Vec<Output> {
    let (images, inputs) = inputs(pixels);
    engine.run(images, &inputs).unwrap()
}

#[test]
fn a_batch_changes_no_bit() {
    use Layer::{AvgPool, Dense, MaxPool, Residual, Strided};
    let Some(gpu) = gpu() else { return };
    let g = with_direction(&classifier(&[
        Dense, Residual, MaxPool, Residual, AvgPool, Strided,
    ]));
    let engine = Engine::new(&g, gpu, 2).unwrap();
    let pixels = numbers(6, 5 * 192);
    let whole = run(&engine, &pixels);
    for batch in [1, 2] {
        let parts: Vec<Vec<Output>> = pixels
            .chunks(batch * 192)
            .map(|p| run(&engine, p))
            .collect();
        for output in [0, 2, 3] {
            let all = parts.iter().flat_map(|p| floats(&p[output]).to_vec());
            let joined: Vec<f32> = all.collect();
            assert_eq!(floats(&whole[output]), joined, "batches of {batch}");
        }
    }
}

/// More images than the device can address at a time: several parts, some of them on their way at
/// once.
#[test]
fn a_batch_that_does_not_fit_is_run_in_parts() {
    let Some(gpu) = gpu() else { return };
    let pixels = 1 << 20;
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[pixels])))
        .unwrap();
    let half = g.scalar(0.5).unwrap();
    let y = g.mul(x, half).unwrap();
    let sum = g.reduce(y, ReduceKind::Max, vec![1], false).unwrap();
    g.output("max", sum);
    let engine = Engine::new(&g, gpu, 1).unwrap();
    let at_a_time = engine.program().images_at_a_time;
    // A graphics processor takes hundreds; there is nothing to see there.
    let images = at_a_time.min(60) + 7;
    let mut data = vec![0.0; images * pixels];
    for image in 0..images {
        data[image * pixels + 77 * image] = image as f32;
    }
    let found = engine.run(images, &[("x", &data)]).unwrap();
    let expected: Vec<f32> = (0..images).map(|image| image as f32 / 2.0).collect();
    assert_eq!(floats(&found[0]), expected);
}

#[test]
fn a_batch_axis_that_is_not_the_first() {
    let Some(gpu) = gpu() else { return };
    let mut g = Graph::new();
    let shape = Shape::new([2.into(), Dim::BATCH, 1.into()]);
    let x = g.input("x", Type::float(shape)).unwrap();
    let zero = g.scalar(0.0).unwrap();
    let y = g.add(Op::Compare(Compare::Greater), &[x, zero]).unwrap();
    g.output("x", x);
    g.output("y", y);
    let engine = Engine::new(&g, gpu, 1).unwrap();
    let data = [1., -2., 3., 4., -5., 6.];
    let found = engine.run(3, &[("x", &data)]).unwrap();
    assert_eq!(found[0], Output::Float(data.to_vec()));
    let positive = data.iter().map(|&x| x > 0.0).collect();
    assert_eq!(found[1], Output::Bool(positive));
}

/// Of a value that contains outputs only what they are is downloaded, where that is much less.
#[test]
fn an_output_that_is_a_small_part_of_another_value() {
    let Some(gpu) = gpu() else { return };
    for (large, downloaded) in [(300, 2 + 1), (1, 3 + 1)] {
        let mut g = Graph::new();
        let x = g.input("x", Type::float(Shape::batched(&[large]))).unwrap();
        let y = g.input("y", Type::float(Shape::batched(&[2]))).unwrap();
        let (x, small) = (g.relu(x).unwrap(), g.relu(y).unwrap());
        let all = g.concat(&[x, small], 1).unwrap();
        let max = g.reduce(all, ReduceKind::Max, vec![1], false).unwrap();
        g.output("small", small);
        g.output("max", max);
        let engine = Engine::new(&g, gpu, 1).unwrap();
        assert_eq!(engine.program().output_bytes, 4 * downloaded);
        let x = vec![0.5; 3 * large];
        let y = [1., -2., 3., 4., -5., 6.];
        let found = engine.run(3, &[("x", &x), ("y", &y)]).unwrap();
        assert_eq!(floats(&found[0]), [1., 0., 3., 4., 0., 6.]);
        assert_eq!(floats(&found[1]), [1., 4., 6.]);
    }
}

#[test]
fn memory_that_the_device_has_not_is_an_error() {
    let Some(gpu) = gpu() else { return };
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[1]))).unwrap();
    let huge = g.expand(x, Shape::batched(&[1 << 29])).unwrap();
    let doubled = g.add_values(huge, huge).unwrap();
    g.output("doubled", doubled);
    let error = Engine::new(&g, gpu, 1).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    for part in ["need 2147483", "device cpu"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// Callers that share an engine do not disturb each other, nor do engines that share a device.
#[test]
fn several_callers_at_once() {
    let Some(gpu) = gpu() else { return };
    let g = odin::transform(&classifier(&[Layer::Dense, Layer::Residual]), 1).unwrap();
    let pixels = numbers(6, 3 * 192);
    let engines = [(); 2].map(|()| Engine::new(&g, gpu, 1).unwrap());
    let expected = run(&engines[0], &pixels);
    std::thread::scope(|scope| {
        for engine in engines.iter().chain(&engines) {
            scope.spawn(|| {
                for _ in 0..4 {
                    assert!(run(engine, &pixels) == expected);
                }
            });
        }
    });
}

#[test]
fn every_step_takes_its_time() {
    let Some(gpu) = gpu() else { return };
    let g = odin::transform(&classifier(&[Layer::Dense]), 1).unwrap();
    let pixels = numbers(6, 192);
    let engine = Engine::new(&g, gpu, 1).unwrap();
    let (images, inputs) = inputs(&pixels);
    match engine.times(images, &inputs, 2) {
        Ok(times) => {
            let program = engine.program();
            assert_eq!(times.len(), program.steps.len());
            let last = program.steps.iter().map(|step| step.shader).max();
            assert_eq!(last, Some(program.shaders - 1));
            assert!(times.iter().sum::<Duration>() > Duration::ZERO, "{times:?}");
        }
        // Not every device has a clock.
        Err(e) => assert_eq!(e.kind(), ErrorKind::Device, "{e}"),
    }
    let most = engine.program().images_at_a_time;
    // A graphics processor takes hundreds of thousands; there is nothing to see there.
    if most < 10_000 {
        let pixels = vec![0.5; (most + 1) * 192];
        let (images, too_many) = crate::networks::inputs(&pixels);
        let error = engine.times(images, &too_many, 1).unwrap_err();
        let expected = [ErrorKind::OutOfMemory, ErrorKind::Device];
        assert!(expected.contains(&error.kind()), "{error}");
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let error = Gpu::open(Choice::Hardware(99)).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device);
    let message = error.to_string();
    assert!(
        message.contains("no graphics processor number 99"),
        "{message}"
    );
}
