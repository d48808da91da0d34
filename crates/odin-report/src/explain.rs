//! The report of `odin explain`: a program step by step, with cost and time.

use crate::json;
use crate::network::Network;
use odin::{Precision, Program};
use odin_error::escape;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// What `odin explain` says of a program.
pub struct ExplainReport<'a> {
    network: Network,
    program: &'a Program,
    times: &'a [Duration],
    repetitions: usize,
    threads: usize,
    precision: Precision,
}

/// Steps that do the same, together.
struct Kind<'a> {
    what: &'a str,
    count: usize,
    flops: u64,
    time: Duration,
}

/// How many kinds of steps the summary names.
const LONGEST: usize = 12;

impl<'a> ExplainReport<'a> {
    /// Of a program and how long each of its steps took, the shortest of `repetitions`.
    pub fn new(
        network: impl Into<Network>,
        program: &'a Program,
        times: &'a [Duration],
        repetitions: usize,
    ) -> Self {
        Self {
            network: network.into(),
            program,
            times,
            repetitions,
            threads: 1,
            precision: Precision::Exact,
        }
    }

    /// By how many threads; one unless this is called.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// In which precision; exactly unless this is called.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    fn total(&self) -> Duration {
        self.times.iter().sum()
    }

    /// Steps of one kind together, those that take longest first.
    fn kinds(&self) -> Vec<Kind<'a>> {
        let mut kinds: Vec<Kind<'a>> = Vec::new();
        let mut index: HashMap<&str, usize> = HashMap::new();
        for (step, &time) in self.program.steps.iter().zip(self.times) {
            let at = *index.entry(&step.what).or_insert(kinds.len());
            if at == kinds.len() {
                kinds.push(Kind {
                    what: &step.what,
                    count: 0,
                    flops: 0,
                    time: Duration::ZERO,
                });
            }
            kinds[at].count += 1;
            kinds[at].flops += step.flops;
            kinds[at].time += time;
        }
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.time));
        kinds
    }

    /// All steps, and where the time goes.
    pub fn to_table(&self) -> String {
        let mut lines = String::new();
        let mut entry = |name: &str, value: &str| {
            let _ = writeln!(lines, "{:<16}{}", format!("{name}:"), escape(value));
        };
        let kilobytes = |bytes: u64| format!("{:.0} KB", bytes as f64 / 1e3);
        entry("Model", &self.network.file);
        entry("Precision", self.precision.as_str());
        entry("Instructions", &self.program.instruction_names());
        entry(
            "Arithmetic",
            &format!("{:.3} GFLOP an image", giga(self.program.flops())),
        );
        entry(
            "Memory",
            &format!(
                "{} for values per image, {} for scratch per thread, weights not included",
                kilobytes(self.program.image_bytes),
                kilobytes(self.program.thread_bytes)
            ),
        );
        entry(
            "Time",
            &format!(
                "{:.2} ms an image on {}, {:.1} GFLOP/s (each step at its fastest of {})",
                self.total().as_secs_f64() * 1e3,
                match self.threads {
                    1 => "one thread".to_string(),
                    threads => format!("{threads} threads"),
                },
                rate(self.program.flops(), self.total()),
                self.repetitions
            ),
        );
        self.steps(&mut lines);
        self.summary(&mut lines);
        lines
    }

    fn steps(&self, lines: &mut String) {
        let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
        let steps = &self.program.steps;
        let what = widest(&mut steps.iter().map(|s| s.what.len())).max(4);
        let shape = widest(&mut steps.iter().map(|s| extents(&s.shape).len())).max(6);
        let _ = writeln!(
            lines,
            "\n{:>4}  {:<what$}  {:>shape$}  {:>9}  {:>9}  {:>9}  {:>8}  {:<8}  Layer",
            "#", "Step", "Output", "MFLOP", "KB moved", "µs", "GFLOP/s", "Products"
        );
        for (i, (step, &time)) in steps.iter().zip(self.times).enumerate() {
            let speed = match step.flops {
                0 => "-".to_string(),
                flops => format!("{:.1}", rate(flops, time)),
            };
            let _ = writeln!(
                lines,
                "{i:>4}  {:<what$}  {:>shape$}  {:>9.2}  {:>9.1}  {:>9.1}  {speed:>8}  {:<8}  {}",
                escape(&step.what),
                extents(&step.shape),
                step.flops as f64 / 1e6,
                step.bytes as f64 / 1e3,
                time.as_secs_f64() * 1e6,
                match step.flops {
                    0 => "-".to_string(),
                    _ => step.precision.to_string(),
                },
                escape(&step.origin)
            );
        }
    }

    fn summary(&self, lines: &mut String) {
        let kinds = self.kinds();
        let what = kinds
            .iter()
            .map(|kind| kind.what.len())
            .max()
            .unwrap_or(0)
            .max(5);
        let _ = writeln!(
            lines,
            "\n{:<what$}  {:>5}  {:>9}  {:>9}  {:>6}  {:>8}",
            "Where the time goes", "Steps", "MFLOP", "µs", "Share", "GFLOP/s"
        );
        for kind in kinds.iter().take(LONGEST) {
            let share = kind.time.as_secs_f64() / self.total().as_secs_f64().max(f64::MIN_POSITIVE);
            let _ = writeln!(
                lines,
                "{:<what$}  {:>5}  {:>9.1}  {:>9.1}  {:>5.1}%  {:>8.1}",
                kind.what,
                kind.count,
                kind.flops as f64 / 1e6,
                kind.time.as_secs_f64() * 1e6,
                100.0 * share,
                rate(kind.flops, kind.time)
            );
        }
        if kinds.len() > LONGEST {
            let rest: Duration = kinds[LONGEST..].iter().map(|kind| kind.time).sum();
            let _ = writeln!(
                lines,
                "and {} other kinds of steps, {:.1} µs",
                kinds.len() - LONGEST,
                rest.as_secs_f64() * 1e6
            );
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> String {
        let steps = self.program.steps.iter().zip(self.times);
        let steps: Vec<Value> = steps
            .map(|(step, time)| {
                json!({
                    "what": step.what,
                    "layer": step.origin,
                    "shape": step.shape,
                    "flops": step.flops,
                    "bytes": step.bytes,
                    "precision": step.precision.to_string(),
                    "seconds": time.as_secs_f64(),
                })
            })
            .collect();
        let report = json!({
            "model": self.network.file,
            "precision": self.precision.as_str(),
            "instructions": self.program.instruction_names(),
            "flops": self.program.flops(),
            "image_bytes": self.program.image_bytes,
            "thread_bytes": self.program.thread_bytes,
            "repetitions": self.repetitions,
            "threads": self.threads,
            "seconds": self.total().as_secs_f64(),
            "steps": steps,
        });
        json::indented(&report)
    }
}

fn giga(flops: u64) -> f64 {
    flops as f64 / 1e9
}

/// In GFLOP/s, or GB/s.
pub(crate) fn rate(flops: u64, time: Duration) -> f64 {
    match time {
        Duration::ZERO => 0.0,
        time => giga(flops) / time.as_secs_f64(),
    }
}

pub(crate) fn extents(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    extents.join("x")
}
