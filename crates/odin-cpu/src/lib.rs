//! The CPU engine: runs a graph on a thread pool, with the vector instructions of the processor.
//!
//! An [`Engine`] is prepared once: the graph is lowered to a program of steps, each of which fuses
//! several operators ([`Engine::program`] shows it); weights are packed in the order in which they
//! are read; and a memory plan assigns arena slots that values with disjoint live ranges share.
//!
//! - A convolution is an implicit matrix product over a padded copy of its input, without im2col; so is
//!   its adjoint. Normalisations, activations and sums next to it are its prologue and epilogue.
//! - The gradient of a ReLU needs the signs of its output: one bit per element.
//! - Operands of a concatenation are computed inside of its result; slices are views.
//! - Kernels exist for AVX-512, AVX2 with FMA, NEON, and, portably, for every other processor
//!   ([`InstructionSet`]); with [`Precision::Fast`] products are of bf16, by AMX or AVX-512 BF16
//!   ([`Bf16Instructions`]).
//!
//! No operator of [`odin_graph`] mixes the images of a batch. Threads compute images independently
//! while there are enough; they share the last ones. Every sum is accumulated in a fixed order, so
//! that results are bit-identical whatever the batch and the number of threads.
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
mod engine;
mod error;
mod kernels;
mod lower;
mod memory;
mod options;
mod program;
mod simd;
mod subnormal;
mod weight_cache;

pub use engine::{Engine, Output};
pub use error::{Error, ErrorKind};
pub use options::{Options, Precision, Winograd};
pub use program::{Program, ProgramStep, StepPrecision, Times};
pub use simd::InstructionSet;
pub use simd::bf16::Bf16Instructions;
pub use weight_cache::WeightCache;
