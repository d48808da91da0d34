//! The time of each step of ODIN for a small network, on a graphics processor or, with `software`,
//! on a Vulkan driver in software.
//!
//!     cargo run --release -p odin-gpu --example steps -- [software] [images]

#![allow(clippy::print_stdout, reason = "prints a table")]

use odin_gpu::{Choice, Engine, Gpu};
use odin_graph::op::Window;
use odin_graph::{Graph, Shape, Tensor, Type, ValueId, odin};
use std::error::Error;

fn weights(g: &mut Graph, shape: &[usize]) -> Result<ValueId, odin_graph::Error> {
    let count: usize = shape.iter().product();
    let data: Vec<f32> = (0..count)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 500.0)
        .collect();
    g.constant(Tensor::new(shape.to_vec(), data)?)
}

/// Dense layers, as in DenseNet-BC: 1x1 and 3x3 convolutions whose results are concatenated.
fn network() -> Result<Graph, odin_graph::Error> {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[3, 32, 32])))?;
    let mut channels = 24;
    let w = weights(&mut g, &[channels, 3, 3, 3])?;
    let mut y = g.conv(x, w, None, Window::new(&[3, 3]).pad(1), 1)?;
    let norm = |g: &mut Graph, x: ValueId, c: usize| {
        let [scale, shift, mean] = [weights(g, &[c])?, weights(g, &[c])?, weights(g, &[c])?];
        let var = g.constant(Tensor::vector(vec![1.5; c]))?;
        let y = g.batch_norm(x, [scale, shift, mean, var], 1e-5)?;
        g.relu(y)
    };
    for _ in 0..6 {
        let a = norm(&mut g, y, channels)?;
        let w = weights(&mut g, &[48, channels, 1, 1])?;
        let b = g.conv(a, w, None, Window::new(&[1, 1]), 1)?;
        let b = norm(&mut g, b, 48)?;
        let w = weights(&mut g, &[12, 48, 3, 3])?;
        let new = g.conv(b, w, None, Window::new(&[3, 3]).pad(1), 1)?;
        y = g.concat(&[y, new], 1)?;
        channels += 12;
    }
    let y = norm(&mut g, y, channels)?;
    let y = g.global_average_pool(y)?;
    let y = g.flatten(y)?;
    let w = weights(&mut g, &[10, channels])?;
    let logits = g.linear(y, w, None)?;
    g.output("logits", logits);
    Ok(g)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let choice = match arguments.first().is_some_and(|first| first == "software") {
        true => {
            arguments.remove(0);
            Choice::Software
        }
        false => Choice::Hardware(0),
    };
    let images: usize = arguments.first().map_or(Ok(32), |n| n.parse())?;
    let gpu = Gpu::open(choice)?;
    let engine = Engine::new(&odin::transform(&network()?, 1)?, &gpu, 2)?;
    let pixels: Vec<f32> = (0..images * 3072)
        .map(|i| (i % 255) as f32 / 255.0)
        .collect();
    let inputs: [(&str, &[f32]); 3] = [
        ("x", &pixels),
        (odin::names::TEMPERATURE, &[1000.0]),
        (odin::names::STEP, &[0.01; 3]),
    ];
    let times = engine.times(images, &inputs, 3)?;
    let program = engine.program();
    println!(
        "{}, {images} images, {} bytes each, {} shaders",
        gpu.info(),
        program.image_bytes,
        program.shaders
    );
    for (step, time) in program.steps.iter().zip(&times) {
        let micros = time.as_secs_f64() * 1e6;
        let rate = step.flops as f64 * images as f64 / time.as_secs_f64() / 1e9;
        println!(
            "{micros:>10.1} us {rate:>8.1} GFLOP/s  {:?} {}",
            step.shape, step.what
        );
    }
    let all: f64 = times.iter().map(|t| t.as_secs_f64()).sum();
    println!("{:>10.1} us for an image", all / images as f64 * 1e6);
    Ok(())
}
