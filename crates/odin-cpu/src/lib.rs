//! The CPU engine: runs a graph on a pool of threads.
//!
//! No operator of [`odin_graph`] mixes the images of a batch, so that each image is computed
//! alone, by one thread. A result is therefore the same to the last bit whatever the batch and
//! the number of threads, and memory is bounded by the number of threads, not by the batch.
//!
//! An [`Engine`] is prepared once: what the outputs do not need is left out, parameters of batch
//! normalisations are merged, and every value is given a buffer that others use before and after
//! it. A mask that the gradient needs is taken as soon as its activation is there, which may then
//! go.
//!
//! ```
//! use odin_cpu::{Engine, Output};
//! use odin_graph::{Graph, Shape, Type};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", Type::float(Shape::batched(&[2])))?;
//! let y = g.softmax(x, 1)?;
//! g.output("y", y);
//!
//! let engine = Engine::new(&g, 1)?;
//! let outputs = engine.run(2, &[("x", &[0.0, 0.0, 5.0, 5.0])])?;
//! assert_eq!(outputs[0], Output::Float(vec![0.5; 4]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod barrier;
mod batch;
mod engine;
mod error;
mod kernels;
mod lower;
mod pointwise;
mod product;
mod program;
mod simd;
mod workspace;

pub use engine::{Engine, Output};
pub use error::{Error, ErrorKind};
pub use program::{Program, ProgramStep, Times};
pub use simd::InstructionSet;
