//! The CPU engine: runs a graph on a pool of threads, with the vectors of the machine at hand.
//!
//! An [`Engine`] is prepared once: the graph is lowered to a program of steps that each compute
//! several operators ([`Engine::program`] shows it), weights are packed in the order in which
//! they are read, and every value gets a place in memory that others use before and after it.
//!
//! - A convolution is a product over a padded copy of its input, which is never unfolded; its
//!   adjoint is a product too. Normalisations, activations and sums next to it happen while
//!   elements are read or written.
//! - The gradient of a ReLU needs the signs of its output: a bit each.
//! - A concatenation is a place in which its parts are computed; a slice is a part of a place.
//! - Kernels exist for AVX-512, AVX2 with FMA, NEON, and every other processor
//!   ([`InstructionSet`]).
//!
//! No operator of [`odin_graph`] mixes the images of a batch. While there are images enough, each
//! is computed by one thread; the last ones are shared by all. Every sum is formed in an order of
//! its own, whoever forms it, so that a result is the same to the last bit whatever the batch and
//! the number of threads.
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
mod memory;
mod options;
mod program;
mod simd;
mod weight_cache;

pub use engine::{Engine, Output};
pub use error::{Error, ErrorKind};
pub use options::{Options, Winograd};
pub use program::{Program, ProgramStep, Times};
pub use simd::InstructionSet;
pub use weight_cache::WeightCache;
