//! The intermediate representation that the rest of ODIN is built around.
//!
//! A [`Graph`] holds a classifier as operators ([`op::Op`]) on typed values. [`vjp`] writes the
//! gradient of a value with respect to another as more graph of the same operators, and
//! [`odin::transform`] uses it to make the whole of ODIN a graph: forward pass, input gradient,
//! perturbation, second forward pass. [`interpret`] runs any graph, slowly and plainly, in f32
//! or f64: engines and gradients are checked against it.
//!
//! This crate knows no file format, no engine, no thread and no environment.
//!
//! ```
//! use odin_graph::{Array, Graph, Shape, Tensor, Type, interpret};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", Type::float(Shape::batched(&[2])))?;
//! let w = g.constant(Tensor::new(vec![2, 3], vec![1.0, 0.0, 2.0, 0.0, 1.0, 3.0])?)?;
//! let logits = g.at("fc").mat_mul(x, w)?;
//! g.output("logits", logits);
//!
//! let batch = Array::new(vec![1, 2], vec![10.0f64, 20.0]);
//! let outputs = interpret(&g, &[("x", batch)])?;
//! assert_eq!(outputs[0].floats(), [10.0, 20.0, 80.0]);
//! # Ok::<(), odin_graph::Error>(())
//! ```

mod activation_shift;
mod attention;
mod budget;
mod builder;
pub mod cost;
mod direction;
mod error;
mod feature_map;
mod graph;
mod head;
mod infer;
mod interpreter;
pub mod odin;
pub mod op;
pub mod passes;
mod reachability;
mod shape;
mod sign;
mod tensor;
mod verify;
mod vjp;

pub use activation_shift::{Shift, shifted_features};
pub use attention::has_attention;
pub use budget::Budget;
pub use error::{Error, ErrorKind};
pub use feature_map::{FeatureMap, feature_map};
pub use graph::{Graph, Node, Output, ValueId};
pub use head::{LinearHead, linear_head, linear_head_of};
pub use interpreter::{Array, Real, Value, interpret};
pub use op::Op;
pub use shape::{DType, Dim, Shape, Type};
pub use sign::maybe_negative;
pub use tensor::Tensor;
pub use verify::verify;
pub use vjp::{vjp, without_gradient};
