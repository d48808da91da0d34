//! How long convolutions take in f32 and in bf16, in milliseconds for a layer and an image, on one
//! thread: `cargo run --release -p odin-cpu --example precision`, with the numbers of input and output
//! channels, of rows and of kernel rows, or with none for a table.
//!
//! Of each kind of layer there are four, as in the example `winograd`.

#![allow(clippy::print_stdout)]

use odin_cpu::{Engine, Options, Precision};
use odin_graph::op::{Axis, Window};
use odin_graph::{Graph, Op, Shape, Tensor, Type};
use std::time::Instant;

const LAYERS: usize = 4;

/// Channels in and out, rows, of which there are as many as columns, and rows of the window.
const SHAPES: [[usize; 4]; 25] = [
    [48, 12, 32, 3],
    [48, 12, 16, 3],
    [48, 12, 8, 3],
    [16, 16, 32, 3],
    [32, 32, 32, 3],
    [32, 32, 16, 3],
    [64, 64, 8, 3],
    [64, 64, 16, 3],
    [64, 64, 56, 3],
    [128, 128, 8, 3],
    [128, 128, 28, 3],
    [160, 160, 32, 3],
    [256, 256, 14, 3],
    [320, 320, 16, 3],
    [512, 512, 7, 3],
    [640, 640, 8, 3],
    [24, 48, 32, 1],
    [150, 48, 32, 1],
    [150, 48, 16, 1],
    [300, 48, 8, 1],
    [64, 256, 56, 1],
    [128, 512, 28, 1],
    [256, 1024, 14, 1],
    [512, 2048, 7, 1],
    [3, 64, 224, 7],
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("channels  rows window images    f32   bf16  2 x bf16");
    let arguments = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let given: Vec<usize> = arguments.collect::<Result<_, _>>()?;
    let shapes = match given[..] {
        [inner, outer, rows, kernel] => vec![[inner, outer, rows, kernel]],
        [] => SHAPES.to_vec(),
        _ => {
            return Err("give the channels in and out, the rows and the window, or nothing".into());
        }
    };
    for [inner, outer, rows, kernel] in shapes {
        let engine = |is_scored, precision| {
            let graph = layers([inner, outer], rows, kernel, is_scored)?;
            let mut options = Options::default();
            options.precision = precision;
            Ok::<_, Box<dyn std::error::Error>>(Engine::with_options(&graph, 1, options)?)
        };
        let engines = [
            engine(true, Precision::Exact)?,
            engine(false, Precision::Fast)?,
            engine(true, Precision::Fast)?,
        ];
        for images in [1, 4] {
            let x = vec![0.5; images * inner * rows * rows];
            let mut best = [f64::MAX; 3];
            for _ in 0..15 {
                for (engine, best) in engines.iter().zip(&mut best) {
                    let start = Instant::now();
                    engine.run(images, &[("x", &x)])?;
                    let ms = start.elapsed().as_secs_f64() * 1e3 / (LAYERS * images) as f64;
                    *best = best.min(ms);
                }
            }
            let [exact, one, two] = best;
            println!(
                "{inner:4}{outer:5} {rows:4} {kernel:6} {images:6} {exact:7.3} {one:6.3} {two:6.3}"
            );
        }
    }
    Ok(())
}

fn layers(
    channels: [usize; 2],
    rows: usize,
    kernel: usize,
    is_scored: bool,
) -> Result<Graph, Box<dyn std::error::Error>> {
    let mut g = Graph::new();
    let shape = Shape::batched(&[channels[0], rows, rows]);
    let mut y = g.input("x", Type::float(shape))?;
    for layer in 0..LAYERS {
        let weight = |i: usize| ((i * 7919 + layer) % 1000) as f32 / 1000.0 - 0.49;
        let (inner, outer) = (channels[layer % 2], channels[1 - layer % 2]);
        let data: Vec<f32> = (0..kernel * kernel * inner * outer).map(weight).collect();
        let w = g.constant(Tensor::new(vec![outer, inner, kernel, kernel], data)?)?;
        let window = Window::new(&[kernel, kernel]).pad(kernel / 2);
        y = g.conv(y, w, None, window, 1)?;
        y = g.relu(y)?;
    }
    y = g.global_average_pool(y)?;
    if !is_scored {
        y = g.add(Op::ArgMax(Axis(1)), &[y])?;
    }
    g.output("y", y);
    Ok(g)
}
