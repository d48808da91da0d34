//! The options of `odin inspect`.

use super::shared::{NetworkOptions, TextFormat};
use clap::Args;

/// Shows what a model is: inputs and outputs, operators, parameters, cost, how images become its
/// input, and whether ODIN can be built into it.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin inspect resnet.onnx
  odin inspect densenet10.pth --format json")]
pub(crate) struct Inspect {
    /// An ONNX file, a PyTorch checkpoint or safetensors file, or a registry name
    #[arg(value_name = "FILE|NAME")]
    pub(crate) nn: String,

    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: TextFormat,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}
