//! Readers and writers of model files: PyTorch checkpoints, safetensors, ONNX, and the zoo of
//! architectures.
//!
//! [`Checkpoint::open`] reads named weights from every container that `torch.save` has
//! written and from safetensors. [`zoo::build`] recognises the architecture that they belong to
//! and writes it as a graph.
//!
//! ```no_run
//! use odin_formats::{Checkpoint, zoo};
//!
//! let checkpoint = Checkpoint::open("densenet10.pth")?;
//! let model = zoo::build(&checkpoint, Some([3, 32, 32]))?;
//! assert_eq!(model.architecture, "DenseNet-BC-100-12");
//! assert_eq!(model.classes, 10);
//! # Ok::<(), odin_formats::Error>(())
//! ```
//!
//! A checkpoint is untrusted input. Nothing in it is executed: a pickle's instructions run on a
//! machine that builds records, never objects. Every length is checked against what the file holds,
//! compressed parts are unpacked up to a limit, and damage of any kind ends in an [`Error`].

mod allowance;
mod checkpoint;
mod container;
mod element;
mod error;
pub mod onnx;
mod safetensors;
mod single_logit;
mod torch;
mod weights;
pub mod zoo;

pub use checkpoint::{Checkpoint, Container, ReadOptions};
pub use error::{Error, ErrorKind};
