//! How long ODIN takes on DenseNet-BC (depth 100, growth 12) and 32x32 images, with random
//! weights: `cargo run --release -p odin-cpu --example speed -- [threads] [images] [exact|fast]`.

#![allow(clippy::print_stdout)]

use odin_cpu::{Engine, Options, Precision};
use odin_graph::op::Window;
use odin_graph::{Error, Graph, Shape, Tensor, Type, ValueId, odin};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise| match arguments.get(index) {
        Some(number) => number.parse::<usize>(),
        None => Ok(otherwise),
    };
    let (threads, images) = (number(0, 1)?, number(1, 8)?);
    let mut options = Options::default();
    if arguments
        .get(2)
        .is_some_and(|precision| precision == "fast")
    {
        options.precision = Precision::Fast;
    }

    let graph = of_score(&odin::transform(&dense_net(16, 12)?, 1)?);
    let engine = Engine::with_options(&graph, threads, options)?;
    let pixels = Numbers(7).many(images * 3 * 32 * 32);
    let inputs: [(&str, &[f32]); 3] = [
        ("x", &pixels),
        (odin::names::TEMPERATURE, &[1000.0]),
        (odin::names::STEP, &[0.01; 3]),
    ];
    engine.run(images, &inputs)?;
    let start = Instant::now();
    engine.run(images, &inputs)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0 / images as f64;
    let mebibytes = engine.memory_per_thread() as f64 / f64::from(1 << 20);
    println!("{threads} threads: {milliseconds:.1} ms per image, {mebibytes:.1} MiB per thread");
    Ok(())
}

/// The graph without outputs that the score does not need.
fn of_score(graph: &Graph) -> Graph {
    let mut score = graph.clone();
    score.clear_outputs();
    for output in graph.outputs() {
        if output.name != odin::names::LOGITS {
            score.output(output.name.clone(), output.value);
        }
    }
    score
}

/// Three blocks of `layers` bottleneck layers.
fn dense_net(layers: usize, growth: usize) -> Result<Graph, Error> {
    let mut net = Net(Graph::new(), Numbers(1));
    let x = net
        .0
        .input("x", Type::float(Shape::batched(&[3, 32, 32])))?;
    let mut y = net.conv(x, 2 * growth, 3)?;
    for block in 0..3 {
        if block > 0 {
            y = net.norm_relu(y)?;
            let channels = net.channels(y) / 2;
            y = net.conv(y, channels, 1)?;
            y = net.0.avg_pool(y, Window::new(&[2, 2]).stride(2), false)?;
        }
        for _ in 0..layers {
            let a = net.norm_relu(y)?;
            let b = net.conv(a, 4 * growth, 1)?;
            let c = net.norm_relu(b)?;
            let new = net.conv(c, growth, 3)?;
            y = net.0.concat(&[y, new], 1)?;
        }
    }
    y = net.norm_relu(y)?;
    y = net.0.global_average_pool(y)?;
    y = net.0.flatten(y)?;
    let w = net.weights(&[10, net.0.shape(y).dims()[1].at(1)])?;
    let logits = net.0.linear(y, w, None)?;
    net.0.output("logits", logits);
    Ok(net.0)
}

/// A graph under construction, and where its weights come from.
struct Net(Graph, Numbers);

impl Net {
    fn channels(&self, x: ValueId) -> usize {
        self.0.shape(x).dims()[1].at(1)
    }

    /// Random weights that keep the variance.
    fn weights(&mut self, shape: &[usize]) -> Result<ValueId, Error> {
        let fan_in: usize = shape[1..].iter().product();
        let gain = (6.0 / fan_in as f32).sqrt();
        let data = self
            .1
            .many(shape.iter().product())
            .into_iter()
            .map(|v| v * gain);
        self.0
            .constant(Tensor::new(shape.to_vec(), data.collect::<Vec<f32>>())?)
    }

    fn conv(&mut self, x: ValueId, channels: usize, kernel: usize) -> Result<ValueId, Error> {
        let w = self.weights(&[channels, self.channels(x), kernel, kernel])?;
        self.0.conv(
            x,
            w,
            None,
            Window::new(&[kernel, kernel]).pad(kernel / 2),
            1,
        )
    }

    fn norm_relu(&mut self, x: ValueId) -> Result<ValueId, Error> {
        let channels = self.channels(x);
        let mut constant = |v| self.0.constant(Tensor::vector(vec![v; channels]));
        let parameters = [
            constant(1.0)?,
            constant(0.1)?,
            constant(0.0)?,
            constant(1.0)?,
        ];
        let y = self.0.batch_norm(x, parameters, 1e-5)?;
        self.0.relu(y)
    }
}

/// Numbers from -1 to 1 that look random (a linear congruential generator).
struct Numbers(u32);

impl Numbers {
    fn many(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }
}
