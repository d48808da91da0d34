//! The GPU engine: compiles a graph to compute shaders and runs them on a graphics processor, by
//! Vulkan, Metal or DirectX 12, with no more than its driver.
//!
//! An [`Engine`] is compiled once for a device ([`Gpu`]): the graph is lowered to steps, each of
//! which fuses several operators ([`Engine::program`] shows them) and is a compute shader in WGSL.
//! All values stay on the device, in one arena whose slots are shared by values with disjoint live
//! ranges; images go up, outputs come down.
//!
//! - Convolutions, their adjoints and products of matrices are tiled matrix products. Elementwise
//!   operators after them are their epilogue; those before a 1x1 convolution its prologue.
//! - A strided adjoint is cut into phases, so that no product with a zero is computed.
//! - Operands of a concatenation are computed inside of its result; transpositions, slices and
//!   expansions are read by strides.
//!
//! Every sum is accumulated in an order that does not depend on the batch: an image's results are
//! bit-identical in any batch on the same device and driver.
//!
//! ```no_run
//! use odin_gpu::{Choice, Engine, Gpu, Output};
//! use odin_graph::{Graph, Shape, Type};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", Type::float(Shape::batched(&[2])))?;
//! let y = g.softmax(x, 1)?;
//! g.output("y", y);
//!
//! let gpu = Gpu::open(Choice::Hardware(0))?;
//! let engine = Engine::new(&g, &gpu, 1)?;
//! let outputs = engine.run(2, &[("x", &[0.0, 0.0, 5.0, 5.0])])?;
//! assert_eq!(outputs[0], Output::Float(vec![0.5; 4]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod constants;
mod device;
mod engine;
mod error;
mod grid;
mod lower;
mod program;
mod shader;

pub use device::{Choice, DeviceInfo, DeviceKind, Gpu, devices};
pub use engine::{Engine, Output};
pub use error::{Error, ErrorKind};
pub use program::{Program, ProgramStep};
