//! ONNX Runtime as an engine: the graph that `odin-cpu` runs, written as ONNX in memory and run
//! by the library of ONNX Runtime, on the CPU or on an accelerator.
//!
//! The library is loaded when a [`Runtime`] is asked for, from a path that the caller knows.
//! Building this crate needs neither the library nor a download.
//!
//! ```no_run
//! use odin_graph::{Graph, Shape, Type};
//! use odin_ort::{Engine, Options, Output, Provider, Runtime};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", Type::float(Shape::batched(&[2])))?;
//! let y = g.softmax(x, 1)?;
//! g.output("y", y);
//!
//! let runtime = Runtime::load(&["/usr/lib/libonnxruntime.so".into()], Provider::Cpu)?;
//! let engine = Engine::new(&runtime, &g, Provider::Cpu, &Options::default())?;
//! let outputs = engine.run(2, &[("x", &[0.0, 0.0, 5.0, 5.0])])?;
//! assert_eq!(outputs[0], Output::Float(vec![0.5; 4]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Scores are those of the built-in engine but for rounding. Where that engine gives the same
//! bits whatever the batch and the number of threads, this one need not.
//!

mod cuda_libraries;
mod engine;
mod error;
mod options;
mod provider;
mod runtime;

pub use engine::{Engine, Output};
pub use error::{Error, ErrorKind};
pub use options::Options;
pub use provider::Provider;
pub use runtime::Runtime;
