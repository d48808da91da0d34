//! The report of `odin explain` for graphics processors: a program of compute shaders, with cost and
//! time.

use crate::explain::{extents, rate};
use crate::json;
use crate::network::Network;
use odin::{GpuProgram, GpuStep};
use odin_error::escape;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// What `odin explain` says of a program on a graphics processor.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuExplainReport {
    /// What is known of the network.
    pub network: Network,
    /// Where it runs, such as `gpu:0`.
    pub device: String,
    /// The program that runs it and its version, with the name of the device.
    pub engine: String,
    /// The program.
    pub program: GpuProgram,
    /// How long each step takes for the batch; `None` where the device has no clock.
    pub times: Option<Vec<Duration>>,
    /// Of how many times these are the shortest.
    pub repetitions: usize,
    /// The images of the batch.
    pub images: usize,
}

impl GpuExplainReport {
    /// Bytes that a step reads and writes at least, for the batch.
    fn bytes(&self, step: &GpuStep) -> u64 {
        step.bytes * self.images as u64 + step.weight_bytes
    }

    fn total(&self) -> Option<Duration> {
        self.times.as_ref().map(|times| times.iter().sum())
    }

    fn time(&self, step: usize) -> Option<Duration> {
        self.times.as_ref()?.get(step).copied()
    }

    /// All steps.
    pub fn to_table(&self) -> String {
        let mut lines = String::new();
        let mut entry = |name: &str, value: &str| {
            let _ = writeln!(lines, "{:<16}{}", format!("{name}:"), escape(value));
        };
        let (program, images) = (&self.program, self.images);
        let kilobytes = |bytes: u64| format!("{:.0} KB", bytes as f64 / 1e3);
        let (steps, shaders) = (program.steps.len(), program.shaders);
        entry("Model", &self.network.file);
        entry("Device", &self.device);
        entry("Engine", &self.engine);
        entry(
            "Arithmetic",
            &format!("{:.3} GFLOP an image", program.flops() as f64 / 1e9),
        );
        entry(
            "Memory",
            &format!(
                "{} for values per image, {} for weights; at most {} images at a time",
                kilobytes(program.image_bytes),
                kilobytes(program.weight_bytes),
                program.images_at_a_time
            ),
        );
        entry(
            "Download",
            &format!("{} bytes an image", program.output_bytes),
        );
        entry("Shaders", &format!("{shaders}, of {steps} steps"));
        let time = match self.total() {
            Some(total) => format!(
                "{:.3} ms an image in a batch of {images}, {:.1} GFLOP/s (each step at its fastest of {})",
                total.as_secs_f64() * 1e3 / images as f64,
                rate(program.flops() * images as u64, total),
                self.repetitions
            ),
            None => "not known: the device has no clock for its steps".to_string(),
        };
        entry("Time", &time);
        self.steps(&mut lines);
        lines
    }

    fn steps(&self, lines: &mut String) {
        let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
        let steps = &self.program.steps;
        let what = widest(&mut steps.iter().map(|s| s.what.len())).max(4);
        let shape = widest(&mut steps.iter().map(|s| extents(&s.shape).len())).max(6);
        let _ = writeln!(
            lines,
            "\n{:>4}  {:<what$}  {:>shape$}  {:>6}  {:>9}  {:>9}  {:>9}  {:>8}  {:>7}  Layer",
            "#", "Step", "Output", "Shader", "MFLOP", "KB moved", "µs", "GFLOP/s", "GB/s"
        );
        for (i, step) in steps.iter().enumerate() {
            let time = self.time(i).filter(|time| !time.is_zero());
            let told = |number: Option<f64>| match number {
                Some(number) => format!("{number:.1}"),
                None => "-".to_string(),
            };
            let flops = step.flops * self.images as u64;
            let speed = time.filter(|_| flops > 0).map(|time| rate(flops, time));
            let moved = time.map(|time| rate(self.bytes(step), time));
            let _ = writeln!(
                lines,
                "{i:>4}  {:<what$}  {:>shape$}  {:>6}  {:>9.2}  {:>9.1}  {:>9}  {:>8}  {:>7}  {}",
                escape(&step.what),
                extents(&step.shape),
                step.shader,
                step.flops as f64 / 1e6,
                self.bytes(step) as f64 / 1e3,
                told(time.map(|time| time.as_secs_f64() * 1e6)),
                told(speed),
                told(moved),
                escape(&step.origin)
            );
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> String {
        let steps = self.program.steps.iter().enumerate();
        let steps: Vec<Value> = steps
            .map(|(i, step)| {
                json!({
                    "what": step.what,
                    "layer": step.origin,
                    "shape": step.shape,
                    "shader": step.shader,
                    "flops": step.flops,
                    "bytes": step.bytes,
                    "weight_bytes": step.weight_bytes,
                    "seconds": self.time(i).map(|time| time.as_secs_f64()),
                })
            })
            .collect();
        let program = &self.program;
        let report = json!({
            "model": self.network.file,
            "device": self.device,
            "engine": self.engine,
            "flops": program.flops(),
            "image_bytes": program.image_bytes,
            "weight_bytes": program.weight_bytes,
            "output_bytes": program.output_bytes,
            "images_at_a_time": program.images_at_a_time,
            "shaders": program.shaders,
            "repetitions": self.repetitions,
            "images": self.images,
            "seconds": self.total().map(|time| time.as_secs_f64()),
            "steps": steps,
        });
        json::indented(&report)
    }
}
