//! How long 3x3 convolutions take directly and by Winograd's method, in milliseconds for a layer
//! and an image, on one thread: `cargo run --release -p odin-cpu --example winograd`, with the
//! numbers of input and output channels and rows, or with none for a table.
//!
//! Of each kind of layer there are four with weights of their own, so that weights come from as
//! far away as they do in a network. Every second one goes back to the first number of channels,
//! as the adjoint does.

#![allow(clippy::print_stdout)]

use odin_cpu::{Engine, Options, Winograd};
use odin_graph::op::Window;
use odin_graph::{Graph, Shape, Tensor, Type};
use std::time::Instant;

const LAYERS: usize = 4;

/// Channels in and out, and rows, of which there are as many as columns.
const SHAPES: [[usize; 3]; 22] = [
    [48, 12, 32],
    [48, 12, 16],
    [48, 12, 8],
    [16, 16, 32],
    [16, 32, 32],
    [32, 32, 32],
    [32, 32, 16],
    [32, 32, 8],
    [64, 64, 8],
    [64, 64, 16],
    [64, 64, 32],
    [64, 64, 56],
    [128, 128, 8],
    [128, 128, 16],
    [128, 128, 28],
    [160, 160, 32],
    [256, 256, 8],
    [256, 256, 14],
    [320, 320, 16],
    [512, 512, 4],
    [512, 512, 7],
    [640, 640, 8],
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("channels rows images  direct   2x2   4x4");
    let arguments = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let given: Vec<usize> = arguments.collect::<Result<_, _>>()?;
    let shapes = match given[..] {
        [inner, outer, rows] => vec![[inner, outer, rows]],
        [] => SHAPES.to_vec(),
        _ => return Err("give the channels in and out and the rows, or nothing".into()),
    };
    for [inner, outer, rows] in shapes {
        let graph = layers([inner, outer], rows)?;
        let ways = [Winograd::Never, Winograd::Tiles2, Winograd::Tiles4];
        let engines = ways.map(|winograd| {
            let mut options = Options::default();
            options.winograd = winograd;
            Engine::with_options(&graph, 1, options)
        });
        let [direct, two, four] = engines;
        let engines = [direct?, two?, four?];
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
            let [direct, two, four] = best;
            println!("{inner:4}{outer:4} {rows:4} {images:6} {direct:7.3} {two:5.3} {four:5.3}");
        }
    }
    Ok(())
}

fn layers(channels: [usize; 2], rows: usize) -> Result<Graph, Box<dyn std::error::Error>> {
    let mut g = Graph::new();
    let shape = Shape::batched(&[channels[0], rows, rows]);
    let mut y = g.input("x", Type::float(shape))?;
    for layer in 0..LAYERS {
        let weight = |i: usize| ((i * 7919 + layer) % 1000) as f32 / 1000.0 - 0.49;
        let (inner, outer) = (channels[layer % 2], channels[1 - layer % 2]);
        let data: Vec<f32> = (0..9 * inner * outer).map(weight).collect();
        let w = g.constant(Tensor::new(vec![outer, inner, 3, 3], data)?)?;
        y = g.conv(y, w, None, Window::new(&[3, 3]).pad(1), 1)?;
        y = g.relu(y)?;
    }
    y = g.global_average_pool(y)?;
    g.output("y", y);
    Ok(g)
}
